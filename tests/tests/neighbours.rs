//! Whom the package does not concern: everybody whose home is none of ours logs in, changes passwords and is made
//! as without it, before and after it is installed, removed and purged.

use anyhow::{Result, ensure};
use machine::{Image, Init, Machine};
use std::time::Duration;

/// What classic users do, and how each ended.
const CLASSIC: &str = include_str!("neighbours/classic.sh");

/// Where PAM's stacks are, that packages share.
const STACKS: &str = "cat /etc/pam.d/common-*";

/// A machine without our package, on which it lies.
fn before() -> Result<Machine> {
    let machine = Machine::builder().image(Image::Base).init(Init::Full).start()?;
    machine.copy_in(&machine::our_package()?, "/root/homed.deb")?;
    machine.check(
        "cd /opt/neighbours && dpkg --install cron-daemon-common_*.deb >&2 && dpkg --install cron_*.deb >&2",
    )?;
    Ok(machine)
}

fn install(machine: &Machine, packages: &str) -> Result<()> {
    machine.check(&format!("DEBIAN_FRONTEND=noninteractive dpkg --install {packages} >&2")).map(drop)
}

/// How much is tried.
#[derive(Clone, Copy)]
enum How {
    /// Everything.
    Whole,
    /// Changes of passwords, and that they have an effect.
    Short,
}

/// How things end there.
fn classic(machine: &Machine, how: How) -> Result<String> {
    let word = if matches!(how, How::Short) { "short" } else { "whole" };
    let output = machine.command(format!("HOW={word}\n{CLASSIC}")).timeout(Duration::from_secs(400)).run()?;
    ensure!(output.status == 0, "{output:?}");
    println!("{}", output.stderr);
    Ok(output.stdout)
}

/// Nothing has changed for anybody.
fn unharmed(when: &str, before: &str, after: &str) -> Result<()> {
    ensure!(before == after, "{when}:\n{after}\ninstead of\n{before}");
    Ok(())
}

#[test]
fn who_has_no_home_of_ours_notices_nothing() -> Result<()> {
    let machine = before()?;
    let (alone, stacks) = (classic(&machine, How::Whole)?, machine.check(STACKS)?);
    for line in [
        "chpasswd: 0",
        "passwd bob, by root: 0",
        "su, after passwd: 0",
        "su, after the change: 0",
        "adduser: 0",
    ] {
        ensure!(alone.lines().any(|one| one == line), "without the package {line} is not so:\n{alone}");
    }
    install(&machine, "/root/homed.deb")?;
    ensure!(machine.check(STACKS)?.matches("pam_homed.so").count() == 5, "{}", machine.check(STACKS)?);
    unharmed("installed", &alone, &classic(&machine, How::Whole)?)?;
    machine.check("dpkg --remove homed >&2")?;
    // The same stacks again: things end as they did.
    unharmed("removed, its stacks", &stacks, &machine.check(STACKS)?)?;
    machine.check("dpkg --purge homed >&2")?;
    unharmed("purged, its stacks", &stacks, &machine.check(STACKS)?)
}

#[test]
fn nor_with_pwquality_before_or_after_ours() -> Result<()> {
    let machine = before()?;
    let quality = "/opt/neighbours/libpam-pwquality*.deb";
    install(&machine, quality)?;
    // It wants a dictionary, which is a package of its own.
    machine.check("echo 'dictcheck = 0' >> /etc/security/pwquality.conf")?;
    let (alone, stacks) = (classic(&machine, How::Short)?, machine.check(STACKS)?);
    ensure!(alone.contains("su, after passwd: 0"), "{alone}");
    install(&machine, "/root/homed.deb")?;
    unharmed("pwquality first", &alone, &classic(&machine, How::Short)?)?;
    let both = machine.check(STACKS)?;
    machine.check("dpkg --remove libpam-pwquality >&2")?;
    install(&machine, quality)?;
    unharmed("pwquality last, its stacks", &both, &machine.check(STACKS)?)?;
    machine.check("dpkg --remove homed >&2")?;
    unharmed("removed, its stacks", &stacks, &machine.check(STACKS)?)
}

/// Changes the place of a profile among the others: `file` has that priority now.
fn place(machine: &Machine, file: &str, priority: u32) -> Result<()> {
    machine
        .check(&format!(
            "sed -i 's/^Priority: .*/Priority: {priority}/' /usr/share/pam-configs/{file}; pam-auth-update --package >&2"
        ))
        .map(drop)
}

#[test]
fn in_whatever_order_profiles_stand() -> Result<()> {
    let machine = before()?;
    let alone = classic(&machine, How::Short)?;
    install(&machine, "/root/homed.deb")?;
    for (first, second) in [(257, 900), (100, 100)] {
        place(&machine, "homed", first)?;
        place(&machine, "homed-password", second)?;
        let stack = machine.check("cat /etc/pam.d/common-password")?;
        unharmed(
            &format!("homed {first}, homed-password {second}\n{stack}"),
            &alone,
            &classic(&machine, How::Short)?,
        )?;
    }
    Ok(())
}

#[test]
fn a_module_that_cannot_be_loaded_stands_in_nobodys_way() -> Result<()> {
    let machine = before()?;
    let alone = classic(&machine, How::Short)?;
    install(&machine, "/root/homed.deb")?;
    machine.check("rm /usr/lib/*-linux-gnu/security/pam_homed.so")?;
    unharmed("the module's file is gone", &alone, &classic(&machine, How::Short)?)
}
