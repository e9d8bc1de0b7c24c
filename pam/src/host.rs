//! What this machine says of a name without the daemon.

use records::settings::RESTORING;
use records::{Record, Sections, UserName};
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

/// Whether there is a record of a home whose user is called so: `alice`, or `alice@example.com` where the record says that
/// realm. Who has another realm is a directory service's. Programs without root's rights see no record.
pub fn is_registered(name: &str) -> bool {
    is_registered_in(Path::new(RECORDS), name)
}

fn is_registered_in(records: &Path, name: &str) -> bool {
    let Ok(bare) = UserName::parse(name.split('@').next().unwrap_or(name)) else { return false };
    let file = records.join(format!("{bare}.identity"));
    if bare.as_str() == name {
        return file.exists();
    }
    let record =
        std::fs::read_to_string(file).ok().and_then(|text| Record::parse(&text, Sections::HOST).ok());
    record.is_some_and(|record| record.is_called(name))
}

#[cfg(test)]
mod tests {
    use super::{is_registered_in, uid_in};

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

    #[test]
    fn a_name_with_a_realm_is_of_the_home_that_has_that_realm() {
        let folder = tempfile::tempdir().expect("made");
        let folder = folder.path();
        for (name, more) in [("alice", r#","realm":"example.com""#), ("bob", "")] {
            let text = format!(r#"{{"userName":"{name}"{more}}}"#);
            std::fs::write(folder.join(format!("{name}.identity")), text).expect("written");
        }
        std::fs::write(folder.join("carol.identity"), "no record").expect("written");
        for (name, expected) in [
            ("alice", true),
            ("alice@example.com", true),
            ("alice@corp.example", false),
            ("bob", true),
            ("bob@corp.example", false),
            ("carol", true),
            ("carol@corp.example", false),
            ("dave", false),
            ("../alice", false),
        ] {
            assert_eq!(is_registered_in(folder, name), expected, "{name}");
        }
    }
}
