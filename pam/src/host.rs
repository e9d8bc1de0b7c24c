//! What this machine says of a name without the daemon.

use records::UserName;
use records::settings::RESTORING;
use std::path::Path;

/// Where records of homes are: root's alone.
const RECORDS: &str = "/var/lib/systemd/home";
const PASSWD: &str = "/etc/passwd";

/// The UID of a line of /etc/passwd. The file itself is read: NSS would ask the daemon.
pub fn local_uid(name: &str) -> Option<u32> {
    // A file that cannot be read has no users.
    uid_in(&std::fs::read(PASSWD).unwrap_or_default(), name)
}

fn uid_in(passwd: &[u8], name: &str) -> Option<u32> {
    let mut lines = passwd.split(|byte| *byte == b'\n');
    let rest = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
    let uid = rest.split(|byte| *byte == b':').nth(1)?;
    std::str::from_utf8(uid).ok()?.parse().ok()
}

/// Whether a note of a restore is there: sessions are opened by root, who may see it.
pub fn is_half_restored(user: &str) -> bool {
    Path::new(RESTORING).join(format!("{user}.json")).exists()
}

/// Whether there is a record of a home of that name. Programs without root's rights see none.
pub fn is_registered(name: &UserName) -> bool {
    Path::new(RECORDS).join(format!("{name}.identity")).exists()
}

#[cfg(test)]
mod tests {
    use super::uid_in;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let passwd =
            b"root:x:0:0:root:/root:/bin/sh\nbobby:x:1001:1001::/:/\nbob:x:1000:1000::/:/\nodd\nbad:x:y:1\n";
        for (name, uid) in
            [("root", Some(0)), ("bob", Some(1000)), ("bo", None), ("odd", None), ("bad", None)]
        {
            assert_eq!(uid_in(passwd, name), uid, "{name}");
        }
    }
}
