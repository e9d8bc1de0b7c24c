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
FILE_SYSTEM = sys.argv[2]
CHEAP = (
    "--luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 --enforce-password-policy=no "
    f"--rate-limit-burst=1000 --luks-discard=no --fs-type={FILE_SYSTEM}"
)


def mark(text):
    subprocess.run(["dmsetup", "message", "logged", "0", "mark " + text], check=True)


def homectl(words, password="", new=""):
    environment = dict(os.environ)
    if password:
        environment["PASSWORD"] = password
    if new:
        environment["NEWPASSWORD"] = new
    name = words.split()[0]
    mark("want_" + name)
    subprocess.run(["homectl"] + words.split(), env=environment, check=True, stdin=subprocess.DEVNULL)
    if ORIGINAL:
        # What udev would do; the original looks for the device's node before it changes the size.
        subprocess.run(["dmsetup", "mknodes"], check=True)
    mark("have_" + name)


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


{"btrfs": btrfs, "ext4": ext4}[FILE_SYSTEM]()
