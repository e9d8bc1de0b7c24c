//! What a fresh Debian 12 or 13 with a Rust toolchain lacks: installed by root, named to everybody else.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::steps;

/// Debian packages that the workspace is built with.
const BUILD: &[&str] = &[
    "gcc",
    "libc6-dev",
    "pkg-config",
    "libcryptsetup-dev",
    "libclang-dev",
    "libpam0g-dev",
    "libssl-dev",
    "libcrypt-dev",
];

/// Debian packages whose programs unit tests run.
const TESTS: &[&str] = &["dbus-daemon", "btrfs-progs", "zsh", "fish"];

/// Debian packages that the test machine is built and started with.
const MACHINE: &[&str] =
    &["mmdebstrap", "e2fsprogs", "util-linux", "debian-archive-keyring", "ca-certificates"];

/// Debian packages that the machine with a screen runs on.
const SCREEN: &[&str] = &["qemu-system-x86"];

/// Debian packages that the package is packed with.
const PACKAGE: &[&str] = &["dpkg-dev", "binutils", "xz-utils"];

/// Everything for building and for the machine.
pub fn everything() -> Result<()> {
    packages(&[BUILD, TESTS, MACHINE, SCREEN].concat())?;
    nextest()
}

/// What building the package needs.
pub fn package() -> Result<()> {
    packages(&[BUILD, PACKAGE].concat())
}

/// What the machine alone needs.
pub fn machine() -> Result<()> {
    packages(MACHINE)
}

/// What the machine with a screen needs besides.
pub fn screen() -> Result<()> {
    packages(SCREEN)
}

fn packages(wanted: &[&str]) -> Result<()> {
    if !Path::new("/var/lib/dpkg/status").exists() {
        // We cannot know what they are called here; what is really missing will say so.
        eprintln!(
            "not a Debian system: if something is missing, install what Debian calls {}",
            wanted.join(" ")
        );
        return Ok(());
    }
    let missing: Vec<&str> = wanted.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("packages are missing; type: sudo apt-get install {}", missing.join(" "));
    }
    eprintln!("installing {}", missing.join(" "));
    steps::line("apt-get -q update")?;
    let arguments =
        ["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qy", "install", "--no-install-recommends"];
    steps::program("env", arguments.into_iter().chain(missing))
}

fn installed(package: &str) -> bool {
    let query =
        Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]).stderr(Stdio::null()).output();
    query.is_ok_and(|answer| answer.stdout.ends_with(b" installed"))
}

/// The test runner: it runs each test in a process of its own and bounds how many machines run at once.
fn nextest() -> Result<()> {
    let version = Command::new("cargo").args(["nextest", "--version"]).output();
    if version.is_ok_and(|answer| answer.status.success()) {
        return Ok(());
    }
    eprintln!("installing cargo-nextest (some minutes, once)");
    steps::line("cargo install --locked cargo-nextest")
}
