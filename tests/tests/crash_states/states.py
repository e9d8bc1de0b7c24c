"""Makes states that a power cut can leave from a log of dm-log-writes, and has each of them opened and checked.

    states.py LOG BASE SEED COUNT SAMPLE WHO

A state is all up to a flush, and of what was written after it a part: nothing, all, or as chance will have it. It is
made of BASE, which follows the log, and a snapshot that is thrown away. Before the login comes one more verb, as chance
will have it: a change of size, a repair, a check, a change of password and back, a login with a wrong one, or an update of the
record. Each line of the output is one state that was lost; the last line is the count. Every SAMPLEth state is opened through the daemon and homectl, the others by a worker
alone, which does the same work without the bus. WHO is `ours`, or `original`: systemd-homed opens all of them.
"""

import hashlib
import json
import os
import random
import re
import struct
import subprocess
import sys

LOG, BASE, SEED, COUNT, SAMPLE, WHO = sys.argv[1:7]
SEED, COUNT, SAMPLE = int(SEED), int(COUNT), int(SAMPLE)
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SECTOR = 512


def read_log(path):
    """The entries: flags, sector, sectors, where the data are in the log, text of a mark."""
    log = open(path, "rb")
    magic, _, number, size = struct.unpack("<QQQI", log.read(28))
    assert magic == 0x6A736677736872 and size == SECTOR, (hex(magic), size)
    entries, at = [], SECTOR
    for _ in range(number):
        log.seek(at)
        block = log.read(SECTOR)
        sector, sectors, flags, length = struct.unpack("<QQQQ", block[:32])
        at += SECTOR
        text = block[32 : 32 + length].rstrip(b"\0").decode() if flags & MARK else ""
        entries.append((flags, sector, sectors, at, text))
        if sectors and not flags & DISCARD:
            at += sectors * SECTOR
    return log, entries


log, entries = read_log(LOG)


def apply(entry, disk):
    flags, sector, sectors, at, _ = entry
    if flags & MARK or not sectors:
        return
    if flags & DISCARD:
        data = bytes(sectors * SECTOR)
    else:
        log.seek(at)
        data = log.read(sectors * SECTOR)
    os.pwrite(disk, data, sector * SECTOR)


def run(command, **more):
    return subprocess.run(command, shell=True, capture_output=True, text=True, **more)


def must(command):
    done = run(command)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def choose():
    """Distinct states: last entry of the prefix, and which of the writes after it are kept."""
    random.seed(SEED)
    begin = next(n for n, entry in enumerate(entries) if entry[4].startswith("want_create"))
    flushes = [n for n in range(begin, len(entries)) if entries[n][0] & (FLUSH | FUA)]
    states = {(n, ()) for n in flushes}
    if len(states) > COUNT // 3:
        states = set(random.sample(sorted(states), COUNT // 3))
    tries = 0
    while len(states) < COUNT and tries < 100 * COUNT:
        tries += 1
        cut = random.randrange(begin, len(entries))
        flush = max((n for n in flushes if n <= cut), default=begin)
        loose = [n for n in range(flush + 1, cut + 1) if entries[n][2]]
        part = random.choice((0.1, 0.5, 0.9, 1.0))
        states.add((flush, tuple(n for n in loose if random.random() < part)))
    return sorted(states)


def expected(prefix):
    """What must be there: whether a home, which files, which passwords may open it."""
    there, files, passwords = False, {}, ["password0"]
    for _, _, _, _, text in entries[: prefix + 1]:
        if text == "have_create":
            there = True
        elif text.startswith("file_"):
            _, name, digest = text.split("_")
            files[name] = digest
        elif text.startswith("password_"):
            passwords.append(text.split("_")[1])
        elif text == "have_passwd":
            passwords = passwords[-1:]
    return there, files, passwords


def keys(prefix):
    """Which keys open it besides, each with what is given for it."""
    has = {}
    for _, _, _, _, text in entries[: prefix + 1]:
        if text.startswith("has_"):
            kind, _, shown = text[4:].partition("_")
            touched = {"tokenPin": ["7391"], "fido2UserPresencePermitted": True}
            has[kind] = {"recovery": {"password": [shown]}, "pin": {"tpm2Pin": ["7391"]}, "key": touched}.get(
                kind, {"tokenPin": ["7391"]}
            )
        elif text.startswith("less_"):
            has.pop(text[5:], None)
    return has


CARDS = "/usr/share/p11-kit/modules/test.module"


def opens_by_keys(prefix):
    """Each of them alone opens it; what of them does not."""
    for kind, secret in keys(prefix).items():
        close(False)
        if kind == "key":
            # Of two that are plugged in one is asked.
            os.rename(CARDS, "/usr/share/p11-kit/aside.module")
        try:
            opened, said = by_worker({"activate": {"uid": 60456, "known": known()}}, secret)
        finally:
            if kind == "key":
                os.rename("/usr/share/p11-kit/aside.module", CARDS)
        if not opened:
            return f"the {kind} does not open it: {said}"
    return None


def open_by_worker(password):
    return by_worker({"activate": {"uid": 60456, "known": known()}}, password)


def known():
    host = "/var/lib/systemd/home/alice.identity"
    return "Yes" if os.path.exists(host) and os.path.getsize(host) > 0 else "No"


def by_worker(task, password, new=None):
    machine = open("/etc/machine-id").read().strip()
    if known() == "Yes":
        record = json.load(open("/var/lib/systemd/home/alice.identity"))
    else:
        record = {"userName": "alice", "binding": {machine: {"imagePath": "/home/alice.home", "storage": "luks"}}}
    job = {
        "version": 2,
        "home": "alice",
        "machine": machine,
        "host": "machine",
        "strangers": "restricted",
        "removal": "free",
        "record": record,
        "task": task,
        "secret": password if isinstance(password, dict) else {"password": [password]},
    }
    if new:
        job["newSecret"] = {"password": [new]}
    with open("/run/job", "w+") as file:
        json.dump(job, file)
        file.flush()
        file.seek(0)
        done = subprocess.run(["/usr/lib/homed/worker"], stdin=file, capture_output=True, text=True)
    return done.returncode == 0, done.stdout[-600:] + done.stderr[-300:]


def homectl(words, password, new=""):
    given = {"PASSWORD": password, **({"NEWPASSWORD": new} if new else {})}
    done = run(f"timeout 60 homectl {words} </dev/null", env={**os.environ, **given})
    return done.returncode == 0, done.stdout + done.stderr


def resize(by_daemon, password):
    if by_daemon:
        return homectl("resize alice 340M", password)
    task = {"size": {"near": 340 << 20}, "resting": "No", "remember": "No"}
    return by_worker({"resize": task}, password)


def look(by_daemon, password):
    if by_daemon:
        return homectl("check alice", password)
    return by_worker({"check": {"seen": "Closed", "known": known()}}, password)


def change_password(by_daemon, password, new):
    if by_daemon:
        return homectl("passwd alice", password, new)
    return by_worker({"changePassword": {"resting": "No"}}, password, new)


def passwd_and_back(by_daemon, password):
    done, said = change_password(by_daemon, password, "between")
    if done:
        done, said = change_password(by_daemon, "between", password)
        if not done:
            raise RuntimeError(f"the password that was just set does not change it back: {said}")
    return done, said


def login_wrong(by_daemon, _password):
    done, said = (open_by_daemon if by_daemon else open_by_worker)("never a password")
    if done:
        raise RuntimeError("a password that was never set opens it")
    return done, said


def update(by_daemon, password):
    # The worker alone is given a finished record; homectl makes it.
    return homectl("update alice --location=here", password) if by_daemon else look(by_daemon, password)


def repair(by_daemon, password):
    if by_daemon:
        return homectl("repair --yes alice", password)
    how = {"dry_run": False, "file_system": False}
    return by_worker({"repair": {"how": how, "known": known()}}, password)


BEFORE = {
    "resize": resize,
    "repair": repair,
    "check": look,
    "passwd-and-back": passwd_and_back,
    "login-wrong": login_wrong,
    "update": update,
}


def one_more(name, prefix, by_daemon):
    """A verb before the login: it may be refused, and leaves a home that opens."""
    if WHO != "ours" or not os.path.exists("/home/alice.home"):
        return
    for password in reversed(expected(prefix)[2]):
        done, said = BEFORE[name](by_daemon, password)
        if '"fault"' in said or "unexpectedly" in said:
            raise RuntimeError(f"{name} failed: {said}")
        if done:
            return


DAEMON = "/usr/lib/systemd/systemd-homed" if WHO == "original" else "/usr/lib/homed/homed"
START = f"""mkdir -p /run/homed; setsid {DAEMON} >>/run/homed.log 2>&1 </dev/null & echo $! >/run/homed.pid
for try in $(seq 600); do busctl --quiet status org.freedesktop.home1 >/dev/null 2>&1 && exit 0; sleep 0.05; done; exit 1"""
STOP = "pid=$(cat /run/homed.pid); kill $pid; tail --pid=$pid -f /dev/null"


def open_by_daemon(password):
    # The original's asks an agent when the password was wrong, and waits for one for ever.
    done = run("timeout 30 homectl activate alice </dev/null", env={**os.environ, "PASSWORD": password})
    return done.returncode == 0, done.stdout + done.stderr


def close(by_daemon):
    if by_daemon:
        run("homectl deactivate alice")
    run("while umount /home/alice 2>/dev/null; do :; done")
    must("for n in $(seq 600); do dmsetup info home-alice >/dev/null 2>&1 || exit 0; sleep 0.02; done; exit 1")
    must("for n in $(seq 600); do losetup -n -O BACK-FILE | grep -q alice || exit 0; sleep 0.02; done; exit 1")
    run("rm -f /dev/mapper/home-alice")


def check(prefix, by_daemon):
    there, files, passwords = expected(prefix)
    if not os.path.exists("/home/alice.home"):
        return "the image is not there" if there else None
    said = ""
    for password in reversed(passwords):
        opened, answer = (open_by_daemon if by_daemon else open_by_worker)(password)
        said += answer
        if opened:
            break
    else:
        return "no password opens it: " + said
    for name, digest in files.items():
        try:
            content = open("/home/alice/" + name, "rb").read()
        except OSError as error:
            return f"{name}: {error}"
        if hashlib.sha256(content).hexdigest() != digest:
            return f"{name} is not what was synced"
    return None if by_daemon else opens_by_keys(prefix)


def main():
    size = os.path.getsize(BASE)
    disk = os.open(BASE, os.O_RDWR)
    base = must(f"losetup -f --show {BASE}").strip()
    with open("/dev/shm/cow", "wb") as file:
        file.truncate(size)
    cow = must("losetup -f --show /dev/shm/cow").strip()
    applied, lost, seen = 0, 0, choose()
    kinds = {"prefixes": sum(not kept for _, kept in seen), "by the daemon": 0}
    for number, (prefix, kept) in enumerate(seen):
        while applied <= prefix:
            apply(entries[applied], disk)
            applied += 1
        must(f"blockdev --flushbufs {base}")
        must(f"echo 0 {size // SECTOR} snapshot {base} {cow} N 8 | dmsetup create state && dmsetup mknodes state")
        state = os.open("/dev/mapper/state", os.O_RDWR)
        for entry in kept:
            apply(entries[entry], state)
        os.fsync(state)
        os.close(state)
        by_daemon = WHO == "original" or number % SAMPLE == 0
        more = list(BEFORE)[(number + number // SAMPLE + SEED) % len(BEFORE)]
        kinds["by the daemon"] += by_daemon
        wrong = None
        try:
            must("mount /dev/mapper/state /home && mount --bind /home/.state /var/lib/systemd/home")
            if by_daemon:
                must(START)
            try:
                one_more(more, prefix, by_daemon)
                wrong = check(prefix, by_daemon)
            finally:
                close(by_daemon)
                if by_daemon:
                    run(STOP)
        except (RuntimeError, OSError, ValueError) as error:
            wrong = f"{error}"
        run("umount /var/lib/systemd/home; umount /home")
        must("for n in $(seq 100); do dmsetup remove state 2>/dev/null && exit 0; sleep 0.05; done; exit 1")
        if wrong:
            lost += 1
            after = [entry[4] for entry in entries[:prefix] if entry[4] and not entry[4].startswith("file")]
            print(f"LOST prefix {prefix} kept {kept} after {after[-1:]}, then {more}: {wrong}", flush=True)
    print(json.dumps({"states": len(seen), "lost": lost, "log": len(entries), **kinds}))


main()
