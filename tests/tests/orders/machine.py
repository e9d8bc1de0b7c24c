"""What walk.py needs of the machine: homectl, the daemon, and what the kernel and the disk show of a home."""

import ctypes
import os
import re
import subprocess
import time

HOME, IMAGE, HOST = "/home/alice", "/home/alice.home", "/var/lib/systemd/home/alice.identity"
FAULT, LOG, PID = "/run/homed/fault", "/run/homed.log", "/run/homed.pid"
RESCUED = "/mnt/rescued"


class Lost(Exception):
    """A promise does not hold."""


def shell(script, **more):
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, **more)


def must(script, **more):
    done = shell(script, **more)
    if done.returncode:
        raise Lost(f"`{script}`: {done.stdout}{done.stderr}")
    return done.stdout


def homectl(words, password="", new=""):
    """Runs homectl as a script would: without a terminal, so that nobody can be asked."""
    return finish(words, start(words, password, new))


def start(words, password="", new=""):
    given = {"PASSWORD": password, "NEWPASSWORD": new}
    environment = {**os.environ, **{name: value for name, value in given.items() if value}}
    command = ["setsid", "--wait", "homectl"] + words.split()
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


def finish(words, running):
    try:
        out, said = running.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        running.kill()
        raise Lost(f"homectl {words} does not end") from None
    if running.returncode >= 128 or running.returncode < 0:
        raise Lost(f"homectl {words} itself died: {running.returncode} {said}")
    return subprocess.CompletedProcess(words, running.returncode, out, said)


def until(what, look, patience=60):
    end = time.monotonic() + patience
    while not look():
        if time.monotonic() > end:
            raise Lost(f"never came: {what}")
        time.sleep(0.02)


def workers():
    """The workers that run, each with the letter of its state (proc_pid_stat(5))."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{name}/cmdline", "rb").read() == b"/usr/lib/homed/worker\0":
                found[int(name)] = open(f"/proc/{name}/stat").read().rpartition(") ")[2][0]
        except OSError:
            continue
    return found


def kill_daemon():
    pid = int(open(PID).read())
    os.kill(pid, 9)
    until("the daemon's end", lambda: not os.path.exists(f"/proc/{pid}"))
    until("the worker's end", lambda: not workers())


def start_daemon():
    must("bash /root/start")


def state():
    """In homectl's words; `none`: there is no such home."""
    names = must("homectl list -j | jq -r '.[] | select(.name == \"alice\") | .state'").split()
    return names[0] if names else "none"


RESTS = {"active", "locked", "inactive", "dirty", "unfixated", "absent", "none"}


def settled():
    """The state once nothing is done any more."""
    seen = []

    def rests():
        seen[:] = [state()]
        return seen[0] in RESTS and not workers() and state() == seen[0]

    until(f"rest, and it is {seen}", rests)
    return seen[0]


def size_of(log):
    return os.path.getsize(log) if os.path.exists(log) else 0


def said_since(place):
    with open(LOG, errors="replace") as file:
        file.seek(place)
        return re.sub(r"\x1b\[[0-9;]*m", "", file.read())


def steps_of(name, place):
    """How many steps the last worker of this name has taken, by the daemon's log."""
    lines = re.findall(rf'alice: {name} is done in .*?steps="?(start=[^"\n]*)', said_since(place))
    return len(lines[-1].split()) - 1 if lines else 0


KEYS = "grep -E 'cryptsetup:|home-alice' /proc/keys"
LEFT = f"""
grep -E ' (/home/alice|{RESCUED}|/run/systemd/user-home-mount)[/ ]' /proc/self/mountinfo
dmsetup ls | grep -E 'home-alice|homed-swap-alice'
losetup -nl -O NAME,BACK-FILE | grep alice
{KEYS}
ls -A /run/homed/locked 2>/dev/null | sed 's,^,note: ,'
find /home /var/lib/systemd/home -maxdepth 1 -name '.#*'
getfattr --absolute-names -d {IMAGE} 2>/dev/null | grep user.home-
dd if={IMAGE} bs=4096 skip=255 count=1 status=none 2>/dev/null | grep -ao homed-open
:"""


def nothing_left():
    """Of a home that was closed there is nothing in the kernel, no note and no temporary file."""
    left = must(LEFT).strip()
    if left:
        raise Lost("left of a closed home:\n" + left)


def no_key():
    """Of a locked home no table, live or loaded, has a key that works, and no keyring has one."""
    tables = must("dmsetup table --showkeys | grep -E '^(home-alice|homed-swap-alice)' || :")
    inactive = must("dmsetup table --inactive --showkeys | grep -E '^(home-alice|homed-swap-alice).*crypt' || :")
    usable = [line for line in tables.splitlines() if " crypt " in line and line.split()[5].strip("0")]
    info = "dmsetup info -c --noheadings -o name,suspended | grep -E '^(home-alice|homed-swap-alice)' || :"
    running = [line for line in must(info).splitlines() if not line.endswith(":Suspended")]
    keys = shell(KEYS).stdout
    if usable or inactive or running or keys:
        raise Lost(f"locked, and there is a key: {usable} {inactive} {running} {keys}")


# Thawed over a device that waits for its key, a file system would never come back: the device answers with errors first.
THAW = f"""
for name in $(dmsetup ls | grep -oE '^(home|homed-swap)-alice[^ \\t]*'); do
    dmsetup clear $name; dmsetup wipe_table --force $name
done
for layer in 1 2 3; do
    timeout -s KILL 20 fsfreeze --unfreeze {HOME} 2>/dev/null
    [ "$(stat -f -c %T {HOME})" != tmpfs ] || umount -l {HOME}
done
:"""
AFRESH = f"""
pkill -KILL -x tail; rm -f {FAULT} /run/homed/locked/* /run/homed/jobs/*
for name in $(dmsetup ls | grep -oE '^(home|homed-swap)-alice[^ \\t]*'); do
    dmsetup clear $name; dmsetup wipe_table --force $name
done
swapoff -a
while umount -l {HOME} 2>/dev/null || umount -l {RESCUED} 2>/dev/null; do :; done
for name in $(dmsetup ls | grep -oE '^(home|homed-swap)-alice[^ \\t]*'); do dmsetup remove --force --retry $name; done
losetup -D
find /home /var/lib/systemd/home -maxdepth 1 \\( -name '.#*' -o -name 'alice*' \\) -exec rm -rf {{}} +
rm -rf /run/homed/locked/* /var/cache/systemd/home/alice
cp --sparse=always /root/alice.home {IMAGE} && cp -p /root/alice.identity {HOST}"""


def forget_keys():
    """Voids what root's keyring has of homes, as a reboot does: nobody knows of those of a home that was replaced."""
    library = ctypes.CDLL(None, use_errno=True)
    # asm/unistd_64.h and linux/keyctl.h: keyctl(KEYCTL_LINK, @u, @p), keyctl(KEYCTL_REVOKE, key).
    library.syscall(250, 8, ctypes.c_long(-4), ctypes.c_long(-2))
    for line in shell(KEYS).stdout.splitlines():
        library.syscall(250, 3, ctypes.c_long(int(line.split()[0], 16)))
    until("no key", lambda: not shell(KEYS).stdout)


def afresh():
    """Puts the first home back, whatever became of the last."""
    try:
        os.kill(int(open(PID).read()), 9)
    except OSError:
        pass
    for worker in workers():
        os.kill(worker, 9)
    must(THAW)
    until("the worker's end", lambda: not workers())
    must(AFRESH)
    forget_keys()
    start_daemon()
