//! Where a call of root's comes from: PAM stacks run as root for everybody, and whoever has them try passwords must use up
//! no attempts but his own. Asked of the kernel, of the process at the other end.

use crate::daemon::link::Provenance;
use std::fs::read_to_string;

/// Of this process. One that is gone by now comes from nowhere in particular.
pub fn of(pid: u32) -> Provenance {
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let groups = read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let (login, unit) = place(&groups);
    Provenance { real_uid: real_uid(&status), login, unit }
}

/// proc_pid_status(5): "Uid:", then the real, effective, saved and file system's.
fn real_uid(status: &str) -> u32 {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The login or the unit of a control group (systemd's names: `user-UID.slice`, `NAME@INSTANCE.service`).
fn place(groups: &str) -> (Option<u32>, String) {
    // Version 2's line has no controllers; where there is none, systemd's own has all of it.
    let line = |kind: &str| groups.lines().find_map(|line| line.split_once(kind).map(|(_, path)| path));
    let path = line("::").or_else(|| line(":name=systemd:")).unwrap_or_default();
    let login = |part: &str| part.strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok();
    let unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    let unit = path.split('/').find(unit).map(without_instance).unwrap_or_default();
    (path.split('/').find_map(login), unit)
}

fn without_instance(unit: &str) -> String {
    match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((name, _)), Some((_, kind))) => format!("{name}@.{kind}"),
        _ => unit.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_known_by_its_slice_and_a_service_by_its_template() {
        let session = "0::/user.slice/user-1001.slice/session-3.scope\n";
        assert_eq!(place(session), (Some(1001), "session-3.scope".into()));
        assert_eq!(place("0::/system.slice/ssh.service\n"), (None, "ssh.service".into()));
        assert_eq!(
            place("0::/system.slice/system-getty.slice/getty@tty1.service\n"),
            (None, "getty@.service".into())
        );
        assert_eq!(place("0::/system.slice/ssh@7-10.0.0.1:22-10.0.0.2:5.service\n").1, "ssh@.service");
        assert_eq!(place("1:name=systemd:/system.slice/gdm.service\n").1, "gdm.service");
        assert_eq!(place("0::/\n"), (None, String::new()));
        assert_eq!(real_uid("Name:\tsu\nUid:\t1001\t0\t0\t0\n"), 1001);
        assert_eq!(real_uid(""), 0);
        assert_eq!(of(std::process::id()).real_uid, rustix::process::getuid().as_raw());
    }
}
