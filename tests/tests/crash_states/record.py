"""Records every write and flush below /home while a home is made, grown, shrunk, given another password and record.

Runs on the test machine as root, its daemon running, /home and its state on a device of dm-log-writes. Says what is
known to be on disk by marks in the log: `want TEXT` before, `have TEXT` after.
"""

import ctypes
import hashlib
import os
import subprocess
import sys
import threading

ORIGINAL = sys.argv[1] == "original"
WHAT = sys.argv[2]
FILE_SYSTEM = "ext4" if WHAT == "ext4" else "btrfs"
CHEAP = (
    "--luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 --enforce-password-policy=no "
    f"--rate-limit-burst=1000 --luks-discard=no --fs-type={FILE_SYSTEM}"
)


def mark(text):
    subprocess.run(["dmsetup", "message", "logged", "0", "mark " + text], check=True)


def homectl(words, password="", new="", **more):
    environment = {**os.environ, **more}
    if password:
        environment["PASSWORD"] = password
    if new:
        environment["NEWPASSWORD"] = new
    name = words.split()[0]
    mark("want_" + name)
    words = ["homectl"] + words.split()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    done = subprocess.run(words, env=environment, check=True, **quiet)
    if ORIGINAL:
        # What udev would do; the original looks for the device's node before it changes the size.
        subprocess.run(["dmsetup", "mknodes"], check=True)
    mark("have_" + name)
    return done.stdout


class Writer(threading.Thread):
    """Writes files of its own into the open home, each synced and then marked."""

    def __init__(self, name):
        super().__init__()
        self.name, self.going, self.written = name, True, 0

    def run(self):
        while self.going:
            self.write_one()

    def write_one(self):
        name = f"{self.name}{self.written}"
        content = os.urandom(4096 + 40960 * (self.written % 5))
        path = "/home/alice/" + name
        # As the owner: nobody else is known to the mount.
        libc = ctypes.CDLL(None)
        libc.setfsuid(os.stat("/home/alice").st_uid)
        libc.setfsgid(os.stat("/home/alice").st_gid)
        with open(path, "wb") as file:
            file.write(content)
            os.fsync(file.fileno())
        libc.setfsuid(0)
        libc.setfsgid(0)
        mark(f"file_{name}_{hashlib.sha256(content).hexdigest()}")
        self.written += 1


def under_load(name, words, password=""):
    writer = Writer(name)
    writer.start()
    try:
        homectl(words, password)
    finally:
        writer.going = False
        writer.join()


def some_files(name, number):
    writer = Writer(name)
    for _ in range(number):
        writer.write_one()


def btrfs():
    """Grows and shrinks, used and not."""
    homectl("create alice --disk-size=280M " + CHEAP, new="password0")
    homectl("activate alice", "password0")
    some_files("first", 8)
    under_load("grow", "resize alice 360M", "password0")
    under_load("shrink", "resize alice 300M", "password0")
    under_load("again", "resize alice 400M", "password0")
    mark("password_password1")
    homectl("passwd alice", "password0", "password1")
    if not ORIGINAL:
        homectl("update alice --real-name=Alice", "password1")
    homectl("deactivate alice")
    homectl("resize alice 440M", "password1")
    homectl("resize alice 310M", "password1")
    homectl("activate alice", "password1")
    some_files("last", 4)
    under_load("least", "resize alice min", "password1")
    homectl("deactivate alice")


def ext4():
    """Grows while it is used, shrinks while it is not; is locked, which takes its barriers away for the time."""
    homectl("create alice --disk-size=96M " + CHEAP, new="password0")
    homectl("activate alice", "password0")
    some_files("first", 8)
    under_load("grow", "resize alice 160M", "password0")
    for time in range(4):
        some_files(f"locked{time}", 2)
        homectl("lock alice")
        homectl("unlock alice", "password0")
    some_files("unlocked", 2)
    homectl("deactivate alice")
    homectl("resize alice 112M", "password0")
    homectl("resize alice 144M", "password0")
    homectl("activate alice", "password0")
    some_files("again", 4)
    homectl("lock alice")
    homectl("deactivate-all")
    homectl("resize alice 104M", "password0")
    homectl("activate alice", "password0")
    some_files("last", 4)
    homectl("deactivate alice")


def enrol(kind, option):
    """Says what opens the home then: the recovery key itself, or that the PIN does."""
    said = homectl(f"update alice {option}", "password0", PIN="7391", NEWPIN="7391")
    shown = [word for word in said.split() if word.count("-") == 7]
    mark(f"has_{kind}_{''.join(shown)}")


def remove(kind, option):
    mark(f"less_{kind}")
    homectl(f"update alice {option}", "password0", PIN="7391")


def keys():
    """Every kind of key comes, is replaced and goes."""
    homectl("create alice --disk-size=280M " + CHEAP, new="password0")
    homectl("activate alice", "password0")
    some_files("first", 4)
    homectl("deactivate alice")
    enrol("recovery", "--recovery-key=yes")
    enrol("key", "--fido2-device=auto --luks-cryptsetup-tokens=yes")
    enrol("card", "--pkcs11-token-uri=auto")
    enrol("pin", "--tpm2-device=auto")
    homectl("activate alice", "password0")
    some_files("between", 4)
    homectl("deactivate alice")
    for kind, option in (("pin", "--tpm2-device=auto"), ("recovery", "--recovery-key=yes")):
        mark(f"less_{kind}")
        enrol(kind, option)
    remove("key", "--fido2-device=")
    remove("card", "--pkcs11-token-uri=")
    remove("pin", "--tpm2-device=")
    remove("recovery", "--recovery-key=no")


{"btrfs": btrfs, "ext4": ext4, "keys": keys}[WHAT]()
