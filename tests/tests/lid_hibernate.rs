//! A timed wake while a home is locked, hibernation from there, and what is in the image on disk.

use anyhow::{Context, Result, ensure};
use homed_tests::secrets::volume_key;
use homed_tests::{Ours, aes};
use machine::{Hardware, Image, Init, Machine};

/// Counts in the home, with a mark in its memory that is nowhere on disk.
const COUNT: &str = "mark=$(printf '%s-%s' hibernated 6b1e93); cd; echo $$ > counter
i=0; while :; do echo $((i++)); sleep 0.1; done > count";

/// Swap space in the clear, which can be searched from outside; allowed. When the machine is back it says so to the test,
/// as after a boot. Prints where memory goes.
const PREPARE: &str = r#"set -e
fallocate -l 700M /swap; chmod 600 /swap; mkswap -q /swap; swapon /swap
offset=$(filefrag -v /swap | awk '$1 == "0:" { print $4 + 0 }')
mkdir -p /etc/systemd/sleep.conf.d /etc/systemd/homed.conf.d /usr/lib/systemd/system-sleep
printf '[Sleep]\nHibernateMode=shutdown\n' > /etc/systemd/sleep.conf.d/test.conf
printf '[Home]\nHibernateUnencrypted=allow\n' > /etc/systemd/homed.conf.d/test.conf
printf '#!/bin/sh\n[ $1 = pre ] || echo ready > /dev/ttyS2\n' > /usr/lib/systemd/system-sleep/test
chmod 755 /usr/lib/systemd/system-sleep/test
echo 0 > /sys/power/image_size
echo $offset > /sys/power/resume_offset
device=$(mountpoint -d /)
echo $device > /sys/power/resume
sync
echo $device $offset"#;

#[test]
fn a_timed_wake_leads_to_hibernation_with_no_key_in_the_image() -> Result<()> {
    let settings =
        Machine::builder().image(Image::Ours).init(Init::Full).hardware(Hardware::Screen).memory(768);
    let machine = Ours(
        settings.kernel_argument("hibernate=nocompress").kernel_argument("mem_sleep_default=deep").start()?,
    );
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.write_file("/run/count", COUNT)?;
    machine.check(
        "setsid setpriv --reuid=alice --regid=alice --clear-groups env HOME=/home/alice bash /run/count </dev/null >/dev/null 2>&1 &
        until [ -s /home/alice/count ]; do sleep 0.1; done",
    )?;
    let key = volume_key(&machine, "alice", "correcthorse")?;
    let boot = machine.check("cat /proc/sys/kernel/random/boot_id")?;
    let place = machine.check(PREPARE)?;
    let (device, offset) = place.trim().split_once(' ').context("no place for the image")?;

    // By a tool that goes past systemd: it is noticed on waking.
    machine.check("rtcwake -m mem -s 5")?;
    machine.becomes("alice", "locked")?;
    let off = machine.0.hibernate_by("systemctl hibernate")?;
    let traces = aes::traces(&key);
    let patterns: Vec<&[u8]> = traces.iter().map(|(_, pattern)| pattern.as_slice()).collect();
    let found = off.find_all_on_disk(&patterns)?;
    ensure!(found.is_empty(), "in the image: {:?}", traces[found[0].0].0);
    ensure!(
        !off.find_all_on_disk(&[b"hibernated-6b1e93"])?.is_empty(),
        "the search does not find what is in the image"
    );

    let on =
        off.kernel_argument(format!("resume={device}")).kernel_argument(format!("resume_offset={offset}"));
    let machine = Ours(on.start()?);
    ensure!(machine.check("cat /proc/sys/kernel/random/boot_id")? == boot, "it has booted anew");
    machine.check("dmesg | grep 'PM: hibernation: hibernation exit'")?;
    assert_eq!(machine.state("alice")?, "locked");
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check(
        "cd /home/alice; kill -0 $(cat counter); before=$(wc -l < count)
        until [ $(wc -l < count) -gt $((before + 5)) ]; do sleep 0.1; done
        head -n $before count | awk '$1 != NR - 1 { exit 1 }'",
    )?;
    Ok(())
}
