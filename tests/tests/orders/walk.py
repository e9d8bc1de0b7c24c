"""Ends a verb at one of its steps, lets another verb follow, and then somebody logs in with the right password.

    walk.py SEED COUNT [S]    COUNT pairs as chance will have them, 0: all, each once; as many as are begun within S seconds
    walk.py PAIR ...          such as `passwd-closed:3:kill,resize`

Runs on the test machine as root, the daemon running. A line for each pair in which a promise did not hold, with what
the daemon said; the last line is the count.
"""

import json
import os
import random
import sys
import time
from collections import namedtuple
from threading import Thread

from machine import *

CHEAP = (
    "--disk-size=300M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 --enforce-password-policy=no "
    "--rate-limit-burst=100000"
)
SMALL, LARGE = "300M", "360M"
BY_HAND = """set -e
loop=$(losetup --find --show --offset 1048576 /home/alice.home)
trap 'losetup --detach $loop' EXIT
"""


class World:
    """What the user was told. One of `right` opens the home; those in `wrong` must not."""

    def __init__(self):
        self.right, self.wrong = ["password0"], []
        self.there, self.file, self.number = True, True, 0
        self.recovery, self.foreign, self.tokens = [], [], 0

    def new_password(self):
        self.number += 1
        return f"password{self.number}"

    def with_right(self, words, new=""):
        """A verb that asks for the password: what opens it is tried as a user would."""
        for password in self.right:
            done = homectl(words, password, new)
            if done.returncode == 0 or not wrong_password(done):
                return done
        return done


def wrong_password(done):
    return "password" in done.stderr.lower() and "incorrect" in done.stderr.lower()


# What a verb is called in faults, and in the log; in which state it begins; what it does, given the world.
Verb = namedtuple("Verb", "task rest act")


def create(world):
    password = world.new_password()
    done = homectl(f"create alice {CHEAP}", new=password)
    if done.returncode == 0 or not world.there:
        # A password is never used twice: what is wrong stays wrong.
        number = world.number
        world.__init__()
        world.number = number
        world.right, world.file, world.there = [password], False, done.returncode == 0 or "perhaps"
    return done


def remove(world):
    done = homectl("remove alice")
    world.there = False if done.returncode == 0 else world.there and "perhaps"
    return done


def passwd(world):
    new = world.new_password()
    done = world.with_right("passwd alice", new)
    if done.returncode == 0:
        world.wrong, world.right = world.wrong + world.right, [new]
    elif not wrong_password(done):
        world.right = world.right + [new]
    return done


def recovery(world):
    done = world.with_right("update alice --recovery-key=yes")
    if done.returncode == 0:
        world.recovery = [done.stdout.split()[-1]]
    return done


def update(world):
    world.number += 1
    return world.with_right(f"update alice --real-name=Name{world.number}")


def resize(size):
    return lambda world: world.with_right(f"resize alice {size}")


def check(world):
    done = world.with_right("check alice")
    if done.returncode == 2:
        raise Lost(f"a check says that it does not open: {done.stdout}")
    return done


def repair(world):
    return world.with_right("repair --yes alice")


def rescue(world):
    return world.with_right(f"rescue alice {RESCUED}")


def by_hand(script):
    """What another program does to the image of a home that is closed: the password comes on standard input."""

    def act(world):
        if state() in ("active", "locked", "none"):
            return None
        for password in world.right:
            done = shell(BY_HAND + script.replace("NUMBER", str(world.number)), input=password)
            if done.returncode == 0:
                break
        return done

    return act


def key_by_hand(world):
    world.number += 1
    done = by_hand(
        "cat > /run/right; printf foreignNUMBER > /run/foreign; cryptsetup luksAddKey --batch-mode --pbkdf pbkdf2 "
        "--pbkdf-force-iterations 1000 --key-file /run/right $loop /run/foreign"
    )(world)
    if done and done.returncode == 0:
        world.foreign.append(f"foreign{world.number}")
    return done


def token_by_hand(world):
    done = by_hand("cryptsetup token add --key-description foreign $loop")(world)
    world.tokens += bool(done and done.returncode == 0)
    return done


PREFER = """for slot in $(cryptsetup luksDump --dump-json-metadata $loop | jq -r '.keyslots | keys[]'); do
    cryptsetup config --priority prefer --key-slot $slot $loop
done"""

VERBS = {
    "create": Verb("create", "none", create),
    "activate": Verb("activate", "closed", lambda world: world.with_right("activate alice")),
    "deactivate": Verb("deactivate", "open", lambda world: homectl("deactivate alice")),
    "authenticate": Verb("authenticate", "closed", lambda world: world.with_right("authenticate alice")),
    "passwd-open": Verb("passwd", "open", passwd),
    "passwd-closed": Verb("passwd", "closed", passwd),
    "update-open": Verb("update", "open", update),
    "update-closed": Verb("update", "closed", update),
    "recovery": Verb("update", "closed unlisted", recovery),
    "grow-open": Verb("resize", "open small", resize(LARGE)),
    "shrink-open": Verb("resize", "open large", resize(SMALL)),
    "grow-closed": Verb("resize", "closed small", resize(LARGE)),
    "shrink-closed": Verb("resize", "closed large", resize(SMALL)),
    "check": Verb("check", "closed", check),
    "repair": Verb("repair", "closed marked", repair),
    "rescue": Verb("rescue", "closed", rescue),
    "lock": Verb("lock", "open", lambda world: homectl("lock alice")),
    "unlock": Verb("unlock", "locked", lambda world: world.with_right("unlock alice")),
    "settle": Verb("settle", "open", lambda world: homectl("lock alice")),
    "give-up": Verb("give-up", "locked", lambda world: homectl("deactivate-all")),
    "remove": Verb("remove", "closed", remove),
}
FOLLOWS = {
    **{name: verb.act for name, verb in VERBS.items() if not name.endswith("-closed") and name != "settle"},
    "login-wrong": lambda world: homectl("activate alice", "never a password"),
    "key-by-hand": key_by_hand,
    "prefer-by-hand": by_hand(PREFER),
    "token-by-hand": token_by_hand,
}


def bring_to(rest, world):
    """Has the home in the state in which a verb begins; nothing is in its way."""
    shell(f"while umount {RESCUED} 2>/dev/null; do :; done")
    where, *more = rest.split()
    if where == "none":
        if settled() != "none":
            close()
            wants(remove(world), "to be removed")
        world.there = False
        return
    if settled() == "none":
        wants(create(world), "to be made")
    for size in {"small": SMALL, "large": LARGE}.items():
        if size[0] in more:
            done = world.with_right(f"resize alice {size[1]}")
            if "Log in once" in done.stderr:
                # A change was cut short before this machine's record, and unlocked since: the advice is followed.
                wants(world.with_right("activate alice"), "to be opened")
                done = world.with_right(f"resize alice {size[1]}")
            wants(done, "a size")
    if "unlisted" in more and world.recovery:
        wants(world.with_right("update alice --recovery-key=no"), "to have no recovery key")
        world.recovery = []
    if where == "closed":
        close()
    elif settled() not in ("active", "locked"):
        wants(world.with_right("activate alice"), "to be opened")
    if where == "open" and state() == "locked":
        wants(world.with_right("unlock alice"), "to be unlocked")
    if where == "locked" and state() != "locked":
        wants(homectl("lock alice"), "to be locked")
    if "marked" in more:
        must(f"setfattr -n user.home-dirty -v 1 {IMAGE}")


def close():
    shell(f"while umount {RESCUED} 2>/dev/null; do :; done")
    now = settled()
    if now == "locked":
        wants(homectl("deactivate-all"), "to be given up")
    elif now == "active":
        wants(homectl("deactivate alice"), "to be closed")


def wants(done, what):
    if done.returncode:
        raise Lost(f"{done.args} was {what}: {done.returncode} {done.stdout}{done.stderr}")


def fault(task, step, way):
    """Has a worker with this task end at a step; `settle` begins by itself once a lock was killed."""
    begin = "suspend-device kill\n" if task == "settle" else ""
    with open(FAULT, "w") as file:
        file.write(f"{begin}{task}#{step} {'stop' if way == 'daemon' else 'kill'}\n")


def broken_off(verb, step, way, world):
    """Does a verb whose worker, or daemon, is killed at a step; whether it came to that."""
    fault(verb.task, step, way)
    if way == "kill":
        verb.act(world)
        if verb.task == "settle":
            settled()
    else:
        with_daemon_killed(verb, world)
    hit = f"{verb.task}#" not in open(FAULT).read()
    os.remove(FAULT)
    return hit


def with_daemon_killed(verb, world):
    thread = Thread(target=lambda: verb.act(world))
    thread.start()
    until("a worker that has stopped", lambda: not thread.is_alive() or "T" in workers().values(), 90)
    if "T" in workers().values():
        kill_daemon()
    thread.join()
    if not os.path.exists(f"/proc/{open(PID).read().strip()}"):
        start_daemon()


def follow(name, world):
    """The verb that comes next may be refused, and must not fail in a way nobody has thought of."""
    done = FOLLOWS[name](world)
    if done and ("unexpectedly" in done.stderr or "the lock was broken off" in done.stderr):
        raise Lost(f"{name} came next, and failed: {done.stderr}")


def login(world):
    """What was confirmed opens the home, nothing else does, what was synced is there; closed, it leaves nothing."""
    shell(f"while umount {RESCUED} 2>/dev/null; do :; done")
    now = settled()
    if now in ("none", "absent"):
        return gone(now, world)
    if now == "locked":
        no_key()
    if now == "active":
        # Still open, or shown by a rescue. Notes are settled by whoever opens it next.
        wants(homectl("deactivate alice"), "to be closed")
        now = settled()
    way = "unlock" if now == "locked" else "activate"
    tried = {password: homectl(f"{way} alice", password) for password in world.right[:1]}
    for password in world.right[1:]:
        now_way = "authenticate" if state() == "active" else way
        tried[password] = homectl(f"{now_way} alice", password)
    opening = [password for password, done in tried.items() if done.returncode == 0]
    if len(opening) != 1:
        said = "".join(f"\n{password}: {done.returncode} {done.stderr}" for password, done in tried.items())
        raise Lost(f"it was {now}, and opens with {opening} of {world.right}:{said}")
    world.wrong += [password for password in world.right if password not in opening]
    world.right, world.there = opening, True
    inside(world)
    wants(homectl("deactivate alice"), "to be closed")
    settled()
    nothing_left()
    foreign(world)


def gone(now, world):
    if world.there is True:
        raise Lost(f"the home is {now}")
    if now != "none":
        wants(homectl("remove alice"), "to be removed, of which a part is gone")
    nothing_left()
    left = must("ls -d /home/alice* /var/lib/systemd/home/*alice* /var/cache/systemd/home/*alice* 2>/dev/null || :").strip()
    if left:
        raise Lost(f"left of a home that was removed:\n{left}")
    world.there = False


def inside(world):
    for password in world.wrong[-2:] + ["never a password"]:
        if homectl("authenticate alice", password).returncode == 0:
            raise Lost(f"{password} opens it as well")
    for key in world.recovery:
        if homectl("authenticate alice", key).returncode:
            raise Lost("the recovery key opens it no longer")
    if world.file:
        must("cd /home/alice && sha256sum --quiet -c sum")
    left = [name for name in os.listdir("/home/alice") if name.startswith(".#")]
    if left:
        raise Lost(f"left in the home: {left}")


def foreign(world):
    """Slots and tokens of others are as they were."""
    script = BY_HAND
    for key in world.foreign:
        script += f"printf {key} | cryptsetup open --test-passphrase --key-file - $loop\n"
    script += "cryptsetup luksDump --dump-json-metadata $loop | jq '[.tokens[] | select(.type == \"luks2-keyring\")] | length'"
    if int(must(script)) != world.tokens:
        raise Lost("a token of another program is gone")


def learn():
    """How many steps each verb has, from doing it once without being broken off."""
    steps, world = {}, World()
    for name, verb in VERBS.items():
        bring_to(verb.rest, world)
        place = size_of(LOG)
        if name == "settle":
            fault("settle", 99, "kill")
        done = verb.act(world)
        settled()
        if name == "settle":
            os.remove(FAULT)
        else:
            wants(done, "to be done")
        steps[name] = steps_of(verb.task.replace("-", " "), place)
    afresh()
    print(json.dumps({"steps": steps}), flush=True)
    return steps


def pairs(words):
    """Verb, step, way, verb."""
    if ":" in words[0]:
        for word in words:
            first, after = word.split(",")
            name, step, way = first.split(":")
            yield name, int(step), way, after
        return
    chance, steps = random.Random(int(words[0])), learn()
    every = [(name, step) for name in VERBS for step in range(1, steps[name] + 1)]
    if int(words[1]) == 0:
        all_of_them = [(name, step, "kill", after) for (name, step) in every for after in FOLLOWS]
        all_of_them += [(name, step, "daemon", chance.choice(list(FOLLOWS))) for (name, step) in every]
        # So that those which a bound leaves out are any.
        chance.shuffle(all_of_them)
        print(json.dumps({"all": len(all_of_them)}), flush=True)
        yield from all_of_them
    for _ in range(int(words[1])):
        name = chance.choice([name for name in VERBS if steps[name]])
        way = "daemon" if chance.random() < 0.2 else "kill"
        yield name, chance.randint(1, steps[name]), way, chance.choice(list(FOLLOWS))


def one(pair, world):
    """Walks a pair; `True` if it came to the step."""
    name, step, way, after = pair
    bring_to(VERBS[name].rest, world)
    hit = broken_off(VERBS[name], step, "kill" if name == "settle" else way, world)
    follow(after, world)
    login(world)
    return hit


def tried(pair, world):
    place = size_of(LOG)
    try:
        return one(pair, world), None
    except (Lost, OSError, KeyError) as error:
        return True, f"{error}\n--- the daemon:\n{said_since(place)[-3000:]}"


def main():
    must(f"mkdir -p {RESCUED}")
    homectl(f"create alice {CHEAP}", new="password0")
    wants(homectl("activate alice", "password0"), "to be opened")
    must(
        "uid=$(stat -c %u /home/alice); cd /home/alice; setpriv --reuid=$uid --regid=$uid --clear-groups "
        "bash -c 'head -c 2M /dev/urandom > file; sha256sum file > sum; sync file sum'"
    )
    wants(homectl("deactivate alice"), "to be closed")
    must(f"cp --sparse=always {IMAGE} /root/alice.home; cp -p {HOST} /root/alice.identity")
    world, counts = World(), {"pairs": 0, "hit": 0, "lost": 0}
    begin = time.monotonic()
    bound = float(sys.argv[3]) if len(sys.argv) > 3 and ":" not in sys.argv[1] else float("inf")
    for pair in pairs(sys.argv[1:]):
        if time.monotonic() - begin > bound:
            break
        hit, wrong = tried(pair, world)
        if wrong:
            afresh()
            world = World()
            alone = tried(pair, world)[1]
            if alone:
                afresh()
                world = World()
            text = f"{pair[0]}:{pair[1]}:{pair[2]},{pair[3]}"
            print(f"LOST {text} (alone: {'the same way' if alone else 'not lost'}): {wrong}", flush=True)
        counts = {"pairs": counts["pairs"] + 1, "hit": counts["hit"] + hit, "lost": counts["lost"] + bool(wrong)}
    print(json.dumps({**counts, "seconds": int(time.monotonic() - begin)}))


main()
