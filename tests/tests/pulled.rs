//! The disk under a home is pulled out: who was in it is told or put out, nothing stays, and plugged in again it opens.

use anyhow::{Result, ensure};
use homed_tests::resizing::{NO_WORKER, WORKER_STOPPED, fault};
use homed_tests::{CHEAP, Ours};
use machine::{Image, Init, Machine};
use std::time::{Duration, Instant};

/// A disk of its own, mounted as one that was plugged in.
const STICK: &str = r#"set -e
truncate -s 1200M /root/disk
loop=$(losetup --find --show /root/disk)
echo "0 $(blockdev --getsz $loop) linear $loop 0" > /root/there
echo "0 $(blockdev --getsz $loop) error" > /root/gone
dmsetup create stick < /root/there
dmsetup mknodes
mkfs.ext4 -q -m 0 /dev/mapper/stick
mkdir -p /media/stick
mount /dev/mapper/stick /media/stick"#;
const PULL: &str =
    "dmsetup load stick < /root/gone; dmsetup suspend --noflush --nolockfs stick; dmsetup resume stick";
const REPLUG: &str = "set -e
dmsetup load stick < /root/there; dmsetup suspend --noflush --nolockfs stick; dmsetup resume stick
e2fsck -p /dev/mapper/stick >&2 || [ $? -eq 1 ]
mount /dev/mapper/stick /media/stick";

/// What a lock may take that cannot succeed: ten seconds for what cannot be frozen, and the way there and back.
const BOUND: Duration = Duration::from_secs(30);

/// A machine with a home on such a disk.
fn machine() -> Result<Ours> {
    let machine = Machine::builder().image(Image::Ours).init(Init::Small).start()?;
    machine.check(STICK)?;
    let machine = Ours::on(machine)?;
    let words = format!("create alice {CHEAP} --image-path=/media/stick/alice.home");
    machine.done(&words, "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    let fill = "head -c 30M /dev/urandom > ~/data; sha256sum ~/data > ~/sum; sync ~/data ~/sum";
    machine.command(fill).user("alice").check()?;
    Ok(machine)
}

/// Plugged in again it opens, with all that was on disk, and nothing is left to be settled.
fn opens_again(machine: &Ours) -> Result<()> {
    machine.check(REPLUG)?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.command("sha256sum --quiet -c ~/sum").user("alice").check()?;
    let note = machine.check("getfattr -d /media/stick/alice.home 2>/dev/null | grep resize || :")?;
    ensure!(note.is_empty(), "a note stays: {note}");
    Ok(())
}

/// The home's state while the disk is pulled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum While {
    Active,
    Resizing,
    Locked,
}

#[test]
fn a_disk_that_is_pulled_out_ends_the_session() -> Result<()> {
    let machine = machine()?;
    for state in [While::Active, While::Resizing, While::Locked] {
        let session = machine.command("exec 3>>~/open; cd; exec sleep 1000").user("alice").spawn()?;
        machine.check("until pgrep -u alice -x sleep; do sleep 0.05; done")?;
        let resizing = match state {
            While::Active => None,
            While::Resizing => {
                fault(&machine, "first-table stop")?;
                let resizing = machine.command("exec setsid --wait homectl resize alice 400M").spawn()?;
                machine.check(WORKER_STOPPED)?;
                fault(&machine, "")?;
                Some(resizing)
            }
            While::Locked => {
                machine.done("lock alice", "", "")?;
                None
            }
        };
        machine.check(PULL)?;
        if let Some(resizing) = resizing {
            machine.check("pkill -CONT -fx /usr/lib/homed/worker")?;
            ensure!(resizing.wait()?.status != 0, "it was resized without a disk");
        }
        // As the system does for a disk that is gone.
        machine.check("umount -l /media/stick")?;
        machine.check("until homectl list -j | jq -r .[].state | grep -qx absent; do sleep 0.05; done")?;
        machine.check(NO_WORKER)?;
        machine.nothing_open("alice").map_err(|e| e.context(format!("{state:?}")))?;
        session.wait()?;
        opens_again(&machine).map_err(|e| e.context(format!("{state:?}: {}", machine.log())))?;
    }
    // The way it is meant.
    let said = machine.run("homectl eject alice")?;
    ensure!(said.status == 0 && said.stderr.contains("may be pulled out now"), "{}", said.stderr);
    machine.check("! grep -q /media/stick /proc/self/mountinfo")?;
    machine.nothing_open("alice")?;
    machine.check(PULL)?;
    opens_again(&machine)
}

#[test]
fn a_disk_that_gives_no_answer_is_told_and_the_home_can_be_closed() -> Result<()> {
    let machine = machine()?;
    // The head of the image is in memory, as it is after any use of the home: the disk is asked all the same.
    machine.check("echo 3 > /proc/sys/vm/drop_caches; head -c 20M /media/stick/alice.home >/dev/null")?;
    machine.check(PULL)?;
    let said = machine.command("cd; echo x > file; sync file").user("alice").run()?;
    ensure!(said.status != 0 && said.stderr.contains("Input/output error"), "{}", said.stderr);
    let said = machine.refused("resize alice 400M", "", "")?;
    ensure!(said.contains("still plugged in"), "{said} {}", machine.log());
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    machine.check("umount /media/stick")?;
    opens_again(&machine)?;

    machine.done("lock alice", "", "")?;
    machine.check(PULL)?;
    let said = machine.refused("unlock alice", "correcthorse", "")?;
    ensure!(said.contains("still plugged in"), "{said}");
    // The same disk comes back: what was locked is unlocked.
    machine.check(
        "dmsetup load stick < /root/there; dmsetup suspend --noflush --nolockfs stick; dmsetup resume stick",
    )?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.command("sha256sum --quiet -c ~/sum").user("alice").check()?;
    machine.done("deactivate alice", "", "").map(drop)
}

#[test]
fn a_lid_that_is_closed_after_the_disk_was_pulled_out_ends_well() -> Result<()> {
    let machine = Ours::full()?;
    machine.check(STICK)?;
    let words = format!("create alice {CHEAP} --image-path=/media/stick/alice.home");
    machine.done(&words, "", "correcthorse")?;
    let console = machine.console();
    console.login("alice", "correcthorse")?;
    console.shell("echo kept > file; sync file; head -c 20M /dev/urandom > dirty")?;
    machine.check(PULL)?;

    // What she has not saved is lost, so it is said; nobody waits for a disk that is gone.
    let begin = Instant::now();
    ensure!(
        machine.run("systemctl start homed-lock.service")?.status != 0,
        "locked, with data that is not on disk"
    );
    println!("refused after {:?}", begin.elapsed());
    ensure!(begin.elapsed() < BOUND, "it took {:?}", begin.elapsed());
    console.expect("homed: The machine does not sleep: ")?;
    machine.check("systemctl reset-failed; umount -l /media/stick")?;
    machine.check("until homectl list -j | jq -r .[].state | grep -qx absent; do sleep 0.05; done")?;
    machine.nothing_open("alice")?;
    // With nothing left open it sleeps.
    machine.suspend()?;
    machine.wake()?;
    machine.check(REPLUG)?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("grep -q kept /home/alice/file")?;
    Ok(())
}
