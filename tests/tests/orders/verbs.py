"""What walk.py has done to a home: the verbs of this program, and what others do to the image; and what their user was told."""

from collections import namedtuple

from machine import *

CHEAP = (
    "--disk-size=300M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 --enforce-password-policy=no "
    "--rate-limit-burst=100000 --lock-level=cache"
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
        self.level, self.kept, self.looked = "cache", False, None

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


# What a verb is called in faults, and mostly in the log; in which state it begins; what it does, given the world.
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


def no_recovery(world):
    # Whether it goes is open until it is done.
    world.recovery = []
    return world.with_right("update alice --recovery-key=no")


def keep(world):
    """Makes a snapshot."""
    world.number += 1
    done = homectl(f"snapshot alice make kept{world.number}")
    if done.returncode == 0:
        world.kept = f"kept{world.number}"
    return done


def tend(world):
    if state() == "locked":
        return None
    return homectl("rebalance")


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
    "no-recovery": Verb("update", "closed listed", no_recovery),
    "no-recovery-open": Verb("update", "open listed", no_recovery),
    "take-over": Verb("activate", "closed unknown", lambda world: world.with_right("activate alice")),
    "keep": Verb("snapshot", "open", keep),
    "restore": Verb("snapshot", "open kept", lambda world: homectl(f"snapshot alice restore {world.kept} --yes")),
    "tend": Verb("tend", "open", tend),
    "grow-open": Verb("resize", "open small", resize(LARGE)),
    "shrink-open": Verb("resize", "open large", resize(SMALL)),
    "grow-closed": Verb("resize", "closed small", resize(LARGE)),
    "shrink-closed": Verb("resize", "closed large", resize(SMALL)),
    "check": Verb("check", "closed", check),
    "repair": Verb("repair", "closed marked", repair),
    "rescue": Verb("rescue", "closed", rescue),
    "lock": Verb("lock", "open", lambda world: homectl("lock alice")),
    "lock-strict": Verb("lock", "open strict", lambda world: homectl("lock alice")),
    "lock-terminate": Verb("lock", "open terminate", lambda world: homectl("lock alice")),
    "unlock": Verb("unlock", "locked", lambda world: world.with_right("unlock alice")),
    "unlock-strict": Verb("unlock", "locked strict", lambda world: world.with_right("unlock alice")),
    "settle": Verb("settle", "open", lambda world: homectl("lock alice")),
    "give-up": Verb("give-up", "locked", lambda world: homectl("deactivate-all")),
    "remove": Verb("remove", "closed", remove),
}
LOGGED = {"take-over": "fixate"}
# What another verb does in another state is no other verb when it comes next.
SAME = ("settle", "take-over", "no-recovery-open", "lock-strict", "lock-terminate", "unlock-strict")
FOLLOWS = {
    **{name: verb.act for name, verb in VERBS.items() if not name.endswith("-closed") and name not in SAME},
    "login-wrong": lambda world: homectl("activate alice", "never a password"),
    "key-by-hand": key_by_hand,
    "prefer-by-hand": by_hand(PREFER),
    "token-by-hand": token_by_hand,
}
