"""Ends a verb at one of its steps, lets another verb follow, and then somebody logs in with the right password.

    walk.py SEED COUNT [S]    COUNT pairs as chance will have them, 0: all, each once; as many as are begun within S seconds
    PART=K/N                  in the environment: of those, each Nth from the Kth on, for the others are another machine's
    walk.py PAIR ...          such as `passwd-closed:3:kill,resize`

Runs on the test machine as root, the daemon running. A line for each pair in which a promise did not hold, with what
the daemon said; the last line is the count.
"""

import itertools
import json
import os
import random
import sys
import time
from threading import Thread

from machine import *
from verbs import *


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
    with_keys(more, world)
    with_level(next((level for level in ("strict", "terminate") if level in more), "cache"), world)
    if where == "closed":
        close()
        if "unknown" in more:
            wants(homectl("unregister alice"), "to be forgotten")
            until("a home that nobody knows", lambda: settled() == "unfixated")
    elif settled() not in ("active", "locked"):
        wants(world.with_right("activate alice"), "to be opened")
    if where == "open" and state() == "locked":
        wants(world.with_right("unlock alice"), "to be unlocked")
    if "kept" in more and not world.kept:
        wants(keep(world), "to have a snapshot")
    if where == "locked" and state() != "locked":
        wants(homectl("lock alice"), "to be locked")
    if "marked" in more:
        must(f"setfattr -n user.home-dirty -v 1 {IMAGE}")


def with_keys(more, world):
    """Has the home with a recovery key that is known, or with none, where a verb begins so."""
    if "unlisted" in more and world.recovery:
        wants(world.with_right("update alice --recovery-key=no"), "to have no recovery key")
        world.recovery = []
    if "listed" in more and not world.recovery:
        wants(recovery(world), "to have a recovery key")


def with_level(level, world):
    """Has the home locked at a level."""
    if world.level != level:
        if state() == "locked":
            wants(world.with_right("unlock alice"), "to be unlocked")
        wants(world.with_right(f"update alice --lock-level={level}"), "another level of locking")
        world.level = level


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
    # All that may have come back; where no password has changed since, the last one.
    wrong = world.wrong[-2:] + ["never a password"] if world.wrong != world.looked else world.wrong[-1:]
    world.looked = list(world.wrong)
    for password in wrong:
        if homectl("authenticate alice", password).returncode == 0:
            raise Lost(f"{password} opens it as well")
    for key in world.recovery:
        if homectl("authenticate alice", key).returncode:
            raise Lost("the recovery key opens it no longer")
    if world.file:
        must("cd /home/alice && sha256sum --quiet -c sum")
    blobs = "/home/alice/.identity-blob"
    names = os.listdir("/home/alice") + (os.listdir(blobs) if os.path.isdir(blobs) else [])
    left = [name for name in names if name.startswith(".#")]
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
        steps[name] = steps_of(LOGGED.get(name, verb.task.replace("-", " ")), place)
    afresh()
    print(json.dumps({"steps": steps}), flush=True)
    return steps


def own(pairs):
    """This machine's part of them."""
    part, parts = map(int, os.environ.get("PART", "0/1").split("/"))
    return itertools.islice(pairs, part, None, parts)


def pairs(words):
    """Verb, step, way, verb."""
    if ":" in words[0]:
        for word in own(words):
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
        yield from own(all_of_them)
    yield from own(any_pair(chance, steps) for _ in range(int(words[1])))


def any_pair(chance, steps):
    name = chance.choice([name for name in VERBS if steps[name]])
    way = "daemon" if chance.random() < 0.2 else "kill"
    return name, chance.randint(1, steps[name]), way, chance.choice(list(FOLLOWS))


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
