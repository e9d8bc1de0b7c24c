//! A change of size that is broken off: workers and daemons killed, the power cut, others who want the home.

use anyhow::{Result, ensure};
use homed_tests::Ours;
use homed_tests::resizing::{NO_WORKER, WORKER_STOPPED, WRITER, fault, home, settles, whole};
use machine::{Image, Init, Machine, Running, Stopped};

/// A change of size that has come to the file system, and stays there.
fn stuck(machine: &Ours) -> Result<Running<'_>> {
    fault(machine, "shrink-file-system stop")?;
    let running = machine.command("exec setsid --wait homectl resize alice 300M").spawn()?;
    machine.check(WORKER_STOPPED)?;
    fault(machine, "")?;
    Ok(running)
}

#[test]
fn nobody_waits_for_a_change_of_size() -> Result<()> {
    let machine = Ours::small()?;
    home(&machine)?;
    machine.done("resize alice 600M", "", "")?;
    // A login, a lock, a deactivation.
    for (words, password, state) in [
        ("with alice -- true", "correcthorse", "active"),
        ("lock alice", "", "locked"),
        ("deactivate alice", "", "inactive"),
    ] {
        if machine.state("alice")? == "inactive" {
            machine.done("activate alice", "correcthorse", "")?;
        }
        let running = stuck(&machine)?;
        machine.done(words, password, "")?;
        let said = running.wait()?;
        ensure!(said.status != 0 && said.stderr.contains("nothing was lost"), "{}", said.stderr);
        if words.starts_with("with") {
            // Its last holder has gone with it.
            machine
                .check("until homectl list -j | jq -r .[].state | grep -q -x inactive; do sleep 0.1; done")?;
        } else {
            assert_eq!(machine.state("alice")?, state);
        }
        if state == "locked" {
            ensure!(machine.check("grep -c logon /proc/keys || :")?.trim() == "0", "a key is left");
            machine.refused("resize alice 310M", "", "")?;
            machine.done("unlock alice", "correcthorse", "")?;
            machine.done("resize alice 310M", "", "")?;
            machine.done("resize alice 600M", "", "")?;
        }
        if machine.state("alice")? == "active" {
            whole(&machine)?;
        }
    }
    // A caller who goes away.
    machine.done("activate alice", "correcthorse", "")?;
    let running = stuck(&machine)?;
    machine.check("pkill -KILL -x homectl")?;
    running.wait()?;
    machine.check(NO_WORKER)?;
    settles(&machine).map(drop)
}

#[test]
fn resizing_under_a_write_load_loses_no_byte() -> Result<()> {
    let machine = Ours::small()?;
    machine.write_file("/root/writer.py", WRITER.as_bytes())?;
    home(&machine)?;
    machine.check("install -m 666 /dev/null /tmp/list; mv /root/writer.py /tmp; chmod 644 /tmp/writer.py")?;
    let write = "cd && exec python3 /tmp/writer.py file /tmp/list";
    let rest = machine.command(write).user("alice").spawn()?;
    machine.check(
        "until [ $(cat /tmp/list 2>/dev/null | wc -l) -gt 40 ]; do sleep 0.1; done; touch /run/enough",
    )?;
    let rest = rest.wait()?.stdout;
    machine.check("rm /run/enough /home/alice/file*; : > /tmp/list")?;
    let writer = machine.command(write).user("alice").spawn()?;
    for size in ["500M", "350M", "600M", "400M"] {
        machine.done(&format!("resize alice {size}"), "", "")?;
    }
    machine.check("touch /run/enough")?;
    let busy = writer.wait()?.stdout;
    println!("files and longest wait in ms: at rest {rest}, while resizing {busy}");
    machine.check("cd /home/alice && sha256sum --quiet -c /tmp/list")?;
    machine.done("deactivate alice", "", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check("cd /home/alice && sha256sum --quiet -c /tmp/list && grep -q . /tmp/list")?;
    whole(&machine)
}

/// How often the power is cut; a hundred times takes ten minutes.
fn cuts() -> u64 {
    std::env::var("HOMED_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// The longest time between the note of a change of size and the cut, in ms: less than most changes take.
const LONGEST: u64 = 100;

/// Says so on a serial line when a change of size has been noted and so many milliseconds have passed: nobody on the
/// way to the switch takes time of its own.
const SIGNAL: &str = r#"
import os, sys, time
line = os.open("/dev/ttyS1", os.O_WRONLY | os.O_NOCTTY)
print("ready", flush=True)
while True:
    try:
        os.getxattr("/home/alice.home", "user.home-resize")
        break
    except OSError:
        time.sleep(0.001)
time.sleep(int(sys.argv[1]) / 1000)
os.write(line, b"now\n")
"#;

#[test]
fn the_power_cut_while_resizing_under_load_loses_nothing_synced() -> Result<()> {
    let shared = tempfile::tempdir()?;
    let settings = Machine::builder().image(Image::Ours).init(Init::Small).shared(shared.path());
    let mut machine = Ours::on(settings.start()?)?;
    machine.write_file("/root/writer.py", WRITER.as_bytes())?;
    machine.write_file("/root/signal.py", SIGNAL.as_bytes())?;
    home(&machine)?;
    machine.check("sync")?;
    let mut inside = 0;
    for cut in 0..cuts() {
        let delay = cut * 7919 % LONGEST;
        machine = under_load_until(machine, delay)?.start().and_then(Ours::on)?;
        let left = machine.check(
            "getfattr --only-values -n user.home-resize /home/alice.home 2>/dev/null; stat -c ' %s' /home/alice.home",
        )?;
        inside += u64::from(!left.starts_with(' '));
        let found = format!("cut {cut}, {delay} ms after the note; note and length: {}", left.trim());
        println!("{found}");
        settles(&machine).map_err(|e| e.context(found.clone()))?;
        machine
            .check("cd /home/alice && sha256sum --quiet -c /mnt/list && grep -q . /mnt/list")
            .map_err(|e| e.context(found))?;
    }
    println!("{inside} of {} cuts fell inside a change of size", cuts());
    ensure!(inside > 0 && (cuts() < 20 || inside * 2 >= cuts()), "only {inside} cuts fell inside");
    Ok(())
}

/// Writes files and changes the size until the power is cut, so long after a change was noted.
fn under_load_until(machine: Ours, delay: u64) -> Result<Stopped> {
    machine.check(
        "rm -f /home/alice/file*; install -m 666 /dev/null /mnt/list; install -m 644 /root/writer.py /mnt/; sync",
    )?;
    let load = machine.command("cd && exec python3 /mnt/writer.py file /mnt/list").user("alice").spawn()?;
    machine.check("until [ $(cat /mnt/list | wc -l) -ge 5 ]; do sleep 0.02; done")?;
    let signal = machine.command(format!("exec python3 /root/signal.py {delay}")).spawn()?;
    let sizes =
        "while :; do homectl resize alice 500M; homectl resize alice 300M; done </dev/null >/dev/null 2>&1";
    let resizing = machine.command(sizes).spawn()?;
    machine.second_console().expect("now")?;
    // They go on without anybody who waits for them.
    drop((load, resizing, signal));
    machine.0.power_cut()
}
