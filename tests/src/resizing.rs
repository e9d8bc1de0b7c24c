//! What the scenarios of a change of size share: a home whose files can be proven whole, a worker that is ended at a
//! step, and what must hold once a change that was broken off has been settled.

use anyhow::{Result, bail, ensure};

use crate::Ours;

/// Returns when a worker has stopped.
pub const WORKER_STOPPED: &str = "until pgrep -r T -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done";
/// Returns when there is no worker.
pub const NO_WORKER: &str = "while pgrep -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done";

/// Writes files, each synced; what is on disk is told outside of the machine's own disk, with the longest wait.
pub const WRITER: &str = r#"
import hashlib, os, sys, time
name, list = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
number, longest = 0, 0.0
while not os.path.exists("/run/enough"):
    content = os.urandom(65536)
    begin = time.monotonic()
    with open(f"{name}{number}", "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    longest = max(longest, time.monotonic() - begin)
    os.write(list, f"{hashlib.sha256(content).hexdigest()}  {name}{number}\n".encode())
    os.fsync(list)
    number += 1
print(number, int(longest * 1000))
"#;

/// Has workers end at a step (`STEP kill`, `STEP stop`, `STEP fail`), or none.
pub fn fault(machine: &Ours, text: &str) -> Result<()> {
    match text {
        "" => machine.check("rm -f /run/homed/fault"),
        text => machine.check(&format!("echo {text} > /run/homed/fault")),
    }
    .map(drop)
}

/// An open home with a file whose checksum is in it.
pub fn home(machine: &Ours) -> Result<()> {
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    let fill = "head -c 30M /dev/urandom > ~/data; sha256sum ~/data > ~/sum; sync ~/data ~/sum";
    machine.command(fill).user("alice").check().map(drop)
}

/// The file is as it was.
pub fn whole(machine: &Ours) -> Result<()> {
    machine.command("sha256sum --quiet -c ~/sum").user("alice").check().map(drop)
}

/// Closes the home, if it is open and whole, and opens it anew; then its note, its size, its file system's size.
const REOPEN: &str = r#"
set -e
rm -f /run/homed/fault
if mountpoint -q /home/alice; then
    sha256sum --quiet -c /home/alice/sum
    setsid --wait homectl deactivate alice </dev/null
fi
for n in $(seq 200); do dmsetup info home-alice >/dev/null 2>&1 || break; sleep 0.05; done
PASSWORD=correcthorse setsid --wait homectl activate alice </dev/null
sha256sum --quiet -c /home/alice/sum
getfattr -d /home/alice.home 2>/dev/null | grep resize || echo settled
stat -c %s /home/alice.home
df -B1 --output=size /home/alice | tail -1
"#;

/// What was broken off opens, is whole, and is settled by that; the size in bytes it has now.
pub fn settles(machine: &Ours) -> Result<u64> {
    let said = machine.check(REOPEN).map_err(|error| error.context(machine.log()))?;
    let words: Vec<_> = said.split_whitespace().collect();
    let (note, image, inside) = match words[..] {
        [note, image, inside] => (note, image.parse::<u64>()?, inside.parse::<u64>()?),
        _ => bail!("not understood: {said}"),
    };
    ensure!(note == "settled", "a note stays: {note}");
    ensure!(image == inside + (18 << 20), "file and file system do not agree: {image}, {inside}");
    Ok(image)
}
