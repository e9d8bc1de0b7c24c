//! Homes of each kind that go from the original to ours and back, or are pulled out.

use super::DISK;
use super::PLAIN;
use anyhow::{Result, ensure};
use homed_tests::Ours;
use machine::{Image, Init, Machine};

/// A disk that can be pulled out, in memory.
const DRIVE: &str = "modprobe scsi_debug dev_size_mb=280 && modprobe -a sd_mod && udevadm settle";
const ITS_NODE: &str = "lsblk --nodeps -nro NAME,MODEL | awk '/scsi_debug/ {print \"/dev/\" $1}'";

/// Homes of each kind, made and used by the original or by ours.
struct Both<'a> {
    machine: &'a Ours,
    disk: String,
}

impl Both<'_> {
    const KINDS: [&'static str; 3] = ["directory", "subvolume", "luks"];

    fn image(&self, user: &str, kind: &str) -> String {
        match kind {
            "directory" => format!("/home/{user}.homedir"),
            "subvolume" => format!("/srv/{user}.homedir"),
            _ => self.disk.clone(),
        }
    }

    fn create(&self, who: &str) -> Result<()> {
        for kind in Self::KINDS {
            let user = format!("{who}{kind}");
            let image = self.image(&user, kind);
            let words = format!("create {user} {PLAIN} --storage={kind} --image-path={image}");
            self.machine.done(&words, "", "correcthorse")?;
        }
        Ok(())
    }

    fn uses(&self, who: &str, kinds: &[&str], password: &str, text: &str) -> Result<()> {
        for kind in kinds {
            let user = format!("{who}{kind}");
            self.machine.done(&format!("activate {user}"), password, "")?;
            let script = format!("touch ~/diary && cat ~/diary && echo {text} >> ~/diary");
            self.machine.command(script).user(&user).check()?;
            self.machine.done(&format!("deactivate {user}"), "", "")?;
        }
        Ok(())
    }

    /// What its user has written in a folder.
    fn diary(&self, user: &str, kind: &str) -> Result<String> {
        let path = format!("{}/diary", self.image(user, kind));
        Ok(self.machine.check(&format!("cat {path}"))?.replace('\n', " ").trim().to_owned())
    }
}

#[test]
fn the_originals_homes_open_with_ours_and_ours_with_the_original() -> Result<()> {
    let machine = Ours(Machine::builder().image(Image::Peer).init(Init::Full).start()?);
    machine.check(DISK)?;
    machine.check(DRIVE)?;
    let both = Both { machine: &machine, disk: machine.check(ITS_NODE)?.trim().to_owned() };
    both.create("their")?;
    both.uses("their", &Both::KINDS, "correcthorse", "original")?;
    machine.copy_in(&machine::our_package()?, "/root/homed.deb")?;
    machine.check("dpkg --install /root/homed.deb >&2 && systemctl is-active homed.service")?;
    both.uses("their", &Both::KINDS, "correcthorse", "ours")?;
    for kind in Both::KINDS {
        machine.done(&format!("passwd their{kind}"), "correcthorse", "batterystaple")?;
        machine.done(&format!("update their{kind} --real-name=Updated"), "batterystaple", "")?;
    }
    // There is one disk.
    machine.done("remove theirluks", "", "")?;
    machine.becomes("theirluks", "unfixated")?;
    machine.check(&format!("wipefs --quiet --all {disk}1 {disk}", disk = both.disk))?;
    both.create("our")?;
    both.uses("our", &Both::KINDS, "correcthorse", "ours")?;
    pulled_out_and_plugged_in(&machine, &both.disk)?;
    machine.check("dpkg --remove homed >&2 && dpkg --install /opt/peer/systemd-homed_*.deb >&2")?;
    machine.check("systemctl restart systemd-homed.service && ! test -e /usr/lib/homed/homed")?;
    both.uses("their", &Both::KINDS[..2], "batterystaple", "again")?;
    both.uses("our", &Both::KINDS, "correcthorse", "original")?;
    for kind in &Both::KINDS[..2] {
        assert_eq!(both.diary(&format!("their{kind}"), kind)?, "original ours again");
        assert_eq!(both.diary(&format!("our{kind}"), kind)?, "ours original");
    }
    Ok(())
}

/// A home on a disk is seen when that is plugged in, and not when it is not, known or not.
fn pulled_out_and_plugged_in(machine: &Ours, disk: &str) -> Result<()> {
    const IMAGE: &str = "jq -r 'first(.. | .imagePath? // empty)' /var/lib/systemd/home/ourluks.identity";
    let path = machine.check(IMAGE)?;
    ensure!(path.starts_with("/dev/disk/by-uuid/"), "{path}");
    let pull = format!("echo 1 > /sys/block/{}/device/delete", disk.trim_start_matches("/dev/"));
    const PLUG: &str = "for host in /sys/class/scsi_host/*; do echo '- - -' > $host/scan; done";
    machine.check(&pull)?;
    machine.becomes("ourluks", "absent")?;
    let said = machine.refused("activate ourluks", "correcthorse", "")?;
    ensure!(said.contains("Plug in"), "{said}");
    machine.check(PLUG)?;
    machine.becomes("ourluks", "inactive")?;
    // Pulled out while it is in use: who is in it is put out, and nothing stays.
    machine.done("activate ourluks", "correcthorse", "")?;
    let session = machine.command("cd; exec sleep 1000").user("ourluks").spawn()?;
    machine.check("until pgrep -u ourluks -x sleep; do sleep 0.05; done")?;
    machine.check(&pull)?;
    machine.becomes("ourluks", "absent")?;
    session.wait()?;
    machine.nothing_open("ourluks")?;
    machine.check(PLUG)?;
    machine.becomes("ourluks", "inactive")?;
    machine.done("unregister ourluks", "", "")?;
    machine.becomes("ourluks", "unfixated")?;
    machine.check(&pull)?;
    machine.check("while homectl inspect ourluks >/dev/null 2>&1; do sleep 0.05; done")?;
    machine.check(PLUG)?;
    machine.becomes("ourluks", "unfixated")?;
    // What somebody has plugged in is not a home that an administrator has put here.
    const KEYS: &str = "/var/lib/systemd/home/local.p*";
    machine.check(&format!("mkdir /root/keys && mv {KEYS} /root/keys"))?;
    let said = machine.refused("activate ourluks", "correcthorse", "")?;
    ensure!(said.contains("add-signing-key"), "{said}");
    machine.check("mv /root/keys/* /var/lib/systemd/home")?;
    machine.done("activate ourluks", "correcthorse", "")?;
    machine.done("deactivate ourluks", "", "").map(drop)
}
