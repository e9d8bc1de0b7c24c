//! The package's scripts: an upgrade, a removal that would leave somebody behind, a removal, a purge.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};

const UNITS: &str =
    "homed.service homed-activate.service homed-lock.service homed-hibernate.service homed-prompt.path";
/// Links that lead nowhere, and what the helper of Debian's scripts remembers of us.
const LEFT: &str = "find /etc/systemd -xtype l; find /etc/systemd/system /etc/systemd/user \
     /var/lib/systemd/deb-systemd-*helper-* \
     -name '*homed*' -o -name '*home1*'";

fn remove(machine: &Ours) -> Result<()> {
    machine.check("setsid --wait env DEBIAN_FRONTEND=noninteractive dpkg --remove homed >&2").map(drop)
}

fn stays(machine: &Ours, words: &str) -> Result<()> {
    let output = machine.run("setsid --wait env DEBIAN_FRONTEND=noninteractive dpkg --remove homed")?;
    ensure!(output.status != 0 && output.stderr.contains(words), "{output:?}");
    // It is as it was, and so are the login's modules.
    machine.check(
        "systemctl is-active homed.service homed-prompt.path && grep -q pam_homed /etc/pam.d/common-auth",
    )?;
    Ok(())
}

#[test]
fn upgrades_and_removals_leave_nobody_behind() -> Result<()> {
    let machine = Ours::full()?;
    machine.copy_in(&machine::our_package()?, "/root/homed.deb")?;
    let install = "setsid --wait env DEBIAN_FRONTEND=noninteractive dpkg --install /root/homed.deb >&2";

    // What an administrator switched off stays off, and keeps nothing else from being on.
    machine.check(&format!("systemctl enable {UNITS} && {install}"))?;
    machine.check("systemctl disable --now homed-prompt.path && systemctl mask homed-hibernate.service")?;
    machine.check(install)?;
    let state = machine.run(&format!("systemctl is-enabled {UNITS}"))?.stdout;
    ensure!(state.split_whitespace().eq(["enabled", "enabled", "enabled", "masked", "disabled"]), "{state}");
    machine.check("systemctl is-active homed.service")?;
    machine.check("systemctl unmask homed-hibernate.service && systemctl enable --now homed-prompt.path")?;

    // Nobody is left with a home that nothing closes or unlocks.
    machine.done(&format!("create alice {CHEAP}"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    stays(&machine, "the open home of alice")?;
    machine.done("lock alice", "", "")?;
    stays(&machine, "nobody could unlock alice")?;
    // That the daemon does not answer changes neither.
    machine.check("systemctl kill --signal=STOP homed.service")?;
    let output = machine.run("setsid --wait env DEBIAN_FRONTEND=noninteractive dpkg --remove homed")?;
    ensure!(output.stderr.contains("nobody could unlock alice"), "{output:?}");
    machine.check("systemctl kill --signal=CONT homed.service")?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;

    // The machine's key is lost: the home opens, its record can be changed, and no public key was written over.
    machine.check("cp /var/lib/systemd/home/local.public /root && rm /var/lib/systemd/home/local.private")?;
    machine.check("systemctl restart homed.service")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("update alice --real-name=Alice", "correcthorse", "")?;
    machine.done("passwd alice", "correcthorse", "batterystaple")?;
    machine.done("deactivate alice", "", "")?;
    machine.check("cmp /root/local.public /var/lib/systemd/home/local-*.public")?;
    machine.check("! cmp -s /root/local.public /var/lib/systemd/home/local.public")?;

    machine.check("systemctl enable homed-firstboot.service")?;
    remove(&machine)?;
    let left = machine.run(LEFT)?.stdout;
    ensure!(left.trim().is_empty(), "{left}");
    machine.check("test -e /home/alice.home && test -e /var/lib/systemd/home/local.private")?;
    machine.check(install)?;
    machine.check(&format!(
        "systemctl is-enabled {UNITS} && systemctl is-active homed.service homed-prompt.path"
    ))?;
    machine.done("activate alice", "batterystaple", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.check("setsid --wait env DEBIAN_FRONTEND=noninteractive dpkg --purge homed >&2")?;
    let left = machine.run(&format!("{LEFT}; ls -d /etc/systemd/homed.conf /etc/pam.d/homed-unlock"))?.stdout;
    ensure!(left.trim().is_empty(), "{left}");
    machine.check("test -e /home/alice.home && test -e /var/lib/systemd/home/alice.identity")?;
    Ok(())
}

#[test]
fn polkit_asks_in_every_language_of_the_prompt() -> Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let policy = root.join("dist/usr/share/polkit-1/actions/org.freedesktop.home1.policy");
    let policy = std::fs::read_to_string(policy)?;
    for tag in ["description", "message"] {
        let texts = policy.matches(&format!("<{tag}>")).count();
        ensure!(texts == policy.matches("<action ").count());
        for entry in std::fs::read_dir(root.join("homed/prompt/po"))? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            let Some(language) = name.strip_suffix(".po") else { continue };
            let translated = policy.matches(&format!("<{tag} xml:lang=\"{language}\">")).count();
            ensure!(translated == texts, "{language}: {translated} of {texts} times {tag}");
        }
    }
    Ok(())
}
