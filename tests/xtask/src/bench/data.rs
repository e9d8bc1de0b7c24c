//! How fast files of an open home are read and written, beside the bare dm-crypt device of the same image folder.
//!
//! Home and device are measured in turns, so that what else the host does hits both. The share is that of the two
//! medians.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use machine::Machine;

use super::figures::{Figures, Line, Unit};
use super::{Daemon, script};
use crate::steps;

/// The device is what our homes lie on: direct I/O on a loop device with blocks of 4096 bytes, AES in XTS mode, sectors of
/// 4096 bytes, no queues. `bits` is the size of its key, `options` what the home is made with,
/// `name` what its figures are called.
const MEASURE: &str = r#"
set -e
export PASSWORD=correcthorse NEWPASSWORD=correcthorse
homectl create alice --disk-size=1G --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 \
    --enforce-password-policy=no --rate-limit-burst=1000 $options >/dev/null
homectl activate alice >/dev/null
fallocate --length 1G /home/bare
loop=$(losetup --find --show --direct-io=on --sector-size 4096 /home/bare)
echo -n key | cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --sector-size 4096 \
    --cipher aes-xts-plain64 --key-size $bits --key-file - $loop
echo -n key | cryptsetup open --perf-no_read_workqueue --perf-no_write_workqueue --key-file - $loop bare
home=/home/alice
for file in seq rand; do /root/iorate $home/$file seq-write cached 256 60 >/dev/null; done
measure() {
    local of=$1 path=$2 kind=$3 way=$4
    sync; echo 3 > /proc/sys/vm/drop_caches
    set -- $(/root/iorate $path $kind $way 256 3)
    echo "$of-$kind-$way $(( $1 * 1000000 / 1024 * 1000 / $2 ))"
}
for round in $(seq 5); do
    for kind in seq-write seq-read rand-read rand-write; do
        for way in cached direct; do
            measure $name $home/${kind%-*} $kind $way
            measure bare /dev/mapper/bare $kind $way
        done
    done
done
cryptsetup close bare; losetup --detach $loop; rm /home/bare
homectl deactivate alice && homectl remove alice
"#;

/// Kinds and ways of `iorate`.
const KINDS: [&str; 4] = ["seq-write", "seq-read", "rand-write", "rand-read"];
const WAYS: [&str; 2] = ["cached", "direct"];

pub const LINES: &[Line] = &[
    rate("home-seq-write-cached", "write in order, with fsync"),
    rate("home-seq-read-cached", "read in order, cold"),
    rate("home-rand-write-cached", "write 4 KiB at random, with fsync"),
    rate("home-rand-read-cached", "read 4 KiB at random, cold"),
    rate("home-seq-write-direct", "write in order, direct I/O"),
    rate("home-seq-read-direct", "read in order, direct I/O"),
    rate("home-rand-write-direct", "write 4 KiB at random, direct I/O"),
    rate("home-rand-read-direct", "read 4 KiB at random, direct I/O"),
    share("share-seq-write-cached", "  of the bare device: write in order"),
    share("share-seq-read-cached", "  of the bare device: read in order"),
    share("share-rand-write-cached", "  of the bare device: write at random"),
    share("share-rand-read-cached", "  of the bare device: read at random"),
    share("share-seq-write-direct", "  of the bare device: write in order, direct"),
    share("share-seq-read-direct", "  of the bare device: read in order, direct"),
    share("share-rand-write-direct", "  of the bare device: write at random, direct"),
    share("share-rand-read-direct", "  of the bare device: read at random, direct"),
];

pub const SAME_CIPHER: &[Line] = &[
    rate("same-seq-write-cached", "AES-128 both: write in order, with fsync"),
    rate("same-seq-read-cached", "AES-128 both: read in order, cold"),
    rate("same-rand-write-cached", "AES-128 both: write 4 KiB at random, fsync"),
    rate("same-rand-read-cached", "AES-128 both: read 4 KiB at random, cold"),
    rate("same-seq-write-direct", "AES-128 both: write in order, direct"),
    rate("same-seq-read-direct", "AES-128 both: read in order, direct"),
    rate("same-rand-write-direct", "AES-128 both: write at random, direct"),
    rate("same-rand-read-direct", "AES-128 both: read at random, direct"),
    share("same-share-seq-write-cached", "  of the bare device: write in order"),
    share("same-share-seq-read-cached", "  of the bare device: read in order"),
    share("same-share-rand-write-cached", "  of the bare device: write at random"),
    share("same-share-rand-read-cached", "  of the bare device: read at random"),
    share("same-share-seq-write-direct", "  of the bare device: write in order, direct"),
    share("same-share-seq-read-direct", "  of the bare device: read in order, direct"),
    share("same-share-rand-write-direct", "  of the bare device: write at random, direct"),
    share("same-share-rand-read-direct", "  of the bare device: read at random, direct"),
];

const fn rate(name: &'static str, words: &'static str) -> Line {
    Line::new(name, words, Unit::Rate)
}

const fn share(name: &'static str, words: &'static str) -> Line {
    Line::new(name, words, Unit::Share)
}

pub fn measure(machine: &Machine, _daemon: Daemon) -> Result<Figures> {
    with_shares(turns(machine, "bits=512 options= name=home")?, "home", "share")
}

/// The same with the cipher that is the original's default, for both.
pub fn measure_same_cipher(machine: &Machine, _daemon: Daemon) -> Result<Figures> {
    with_shares(turns(machine, "bits=256 options=--luks-volume-key-size=32 name=same")?, "same", "same-share")
}

/// What a home reaches of the bare device, in the figures called `of`, under the name `share`.
fn with_shares(mut figures: Figures, of: &str, share: &str) -> Result<Figures> {
    for (kind, way) in lines() {
        let median = |of: &str| figures.median(&format!("{of}-{kind}-{way}")).context("was not measured");
        let reached = 1000.0 * median(of)? / median("bare")?;
        figures.put(&format!("{share}-{kind}-{way}"), reached as u64);
    }
    Ok(figures)
}

fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.iter().flat_map(|kind| WAYS.map(|way| (*kind, way)))
}

fn turns(machine: &Machine, settings: &str) -> Result<Figures> {
    machine.copy_in(&program()?, "/root/iorate")?;
    machine.check("chmod 755 /root/iorate")?;
    script(machine, &settings.split(' ').chain([MEASURE]).collect::<Vec<_>>().join("\n"))
}

/// The measuring program, built as what the test machine runs is.
fn program() -> Result<std::path::PathBuf> {
    let words = ["build", "--quiet", "--profile", "machine", "--package", "homed-tests", "--bin", "iorate"];
    let status = Command::new("cargo").args(words).current_dir(steps::project()).status()?;
    ensure!(status.success(), "`cargo {}`: {status}", words.join(" "));
    Ok(Path::new(steps::project()).join("target/machine/iorate"))
}
