//! The test machine itself: what every scenario rests on.

use anyhow::Result;
use machine::{Init, Machine};

#[test]
fn a_small_machine_runs_commands() -> Result<()> {
    let machine = Machine::builder().machine_id("00112233445566778899aabbccddeeff").start()?;
    let output = machine.command("cat; echo noise >&2; exit 3").stdin("from the host\n").run()?;
    assert_eq!(
        (output.status, output.stdout.as_str(), output.stderr.as_str()),
        (3, "from the host\n", "noise\n")
    );
    assert_eq!(machine.check("cat /etc/machine-id")?.trim(), "00112233445566778899aabbccddeeff");
    assert_eq!(machine.command("id -un").user("nobody").check()?.trim(), "nobody");
    Ok(())
}

#[test]
fn what_was_synced_survives_a_power_cut() -> Result<()> {
    let machine = Machine::builder().start()?;
    machine.write_file("/root/kept", "kept")?;
    machine.check("sync /root/kept /root")?;
    machine.check("echo gone > /run/gone")?;
    let machine = machine.power_cut()?.start()?;
    assert_eq!(machine.read_file("/root/kept")?, b"kept");
    assert_eq!(machine.run("cat /run/gone")?.status, 1);
    Ok(())
}

#[test]
fn the_search_of_ram_finds_what_is_there() -> Result<()> {
    let machine = Machine::builder().start()?;
    // The whole marker is in no file that the machine reads, and the other one in none at all.
    machine.check("printf '%s-%s' planted 7d1f3a > /run/marker")?;
    assert!(machine.count_in_ram(b"planted-7d1f3a")? > 0);
    assert_eq!(machine.count_in_ram(b"absent-7d1f3a")?, 0);
    // A disk that has lost its name is not taken for the memory.
    machine.unlink_disk()?;
    assert!(machine.count_in_ram(b"planted-7d1f3a")? > 0);
    Ok(())
}

#[test]
fn a_full_machine_logs_in_at_its_console_and_sleeps() -> Result<()> {
    let machine = Machine::builder().init(Init::Full).start()?;
    assert_eq!(machine.check("systemctl is-system-running")?.trim(), "running");
    let console = machine.console();
    console.login("root", "machine")?;
    let (session, status) = console.shell("loginctl show-session --property=TTY $XDG_SESSION_ID")?;
    assert_eq!((session.trim(), status), ("TTY=ttyS0", 0));
    assert!(machine.second_console().login("root", "wrong").is_err());

    console.shell("marker=$(printf '%s-%s' sleeping 4e1b90)")?;
    machine.suspend()?;
    assert!(machine.count_in_ram(b"sleeping-4e1b90")? > 0);
    machine.wake()?;
    assert_eq!(console.shell("echo awake")?.0.trim(), "awake");
    machine.shutdown()?;
    Ok(())
}

#[test]
fn the_kernel_can_do_what_homes_need() -> Result<()> {
    let machine = Machine::builder().start()?;
    machine.check(
        "set -e
        truncate -s 400M /root/disk
        device=$(losetup --find --show --direct-io=on --sector-size 4096 /root/disk)
        echo -n key | cryptsetup luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --batch-mode $device -
        echo -n key | cryptsetup open $device test -
        mkdir /root/there /root/seen
        for kind in btrfs ext4 xfs; do
            mkfs.$kind -q /dev/mapper/test
            mount /dev/mapper/test /root/there
            touch /root/there/file
            mount --bind -o X-mount.idmap=b:0:60123:1 /root/there /root/seen
            [ $(stat -c %u /root/seen/file) = 60123 ]
            umount /root/seen /root/there
            wipefs -qa /dev/mapper/test
        done
        cryptsetup close test
        losetup -d $device",
    )?;
    Ok(())
}

#[test]
fn two_machines_live_side_by_side() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("homed-carried-{}", std::process::id()));
    let first = Machine::builder().machine_id(format!("{:032x}", 0xa)).start()?;
    let second = Machine::builder().machine_id(format!("{:032x}", 0xb)).start()?;
    first.check(
        "truncate -s 1G /root/carried; printf here | dd of=/root/carried seek=999999999 bs=1 status=none",
    )?;
    first.copy_out("/root/carried", &folder)?;
    second.copy_in(&folder, "/root/carried")?;
    std::fs::remove_file(&folder)?;
    assert_eq!(second.check("tail -c +1000000000 /root/carried | head -c 4")?, "here");
    assert_ne!(first.check("cat /etc/machine-id")?, second.check("cat /etc/machine-id")?);
    Ok(())
}

#[test]
fn a_panic_is_told_with_the_end_of_the_log() -> Result<()> {
    let machine = Machine::builder().start()?;
    let Err(error) = machine.run("echo c > /proc/sysrq-trigger; sleep infinity") else {
        anyhow::bail!("a command in a machine without a kernel succeeded");
    };
    let text = format!("{error:#}");
    assert!(text.contains("Kernel panic") && text.contains("has ended"), "{text}");
    Ok(())
}
