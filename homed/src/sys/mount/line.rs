//! A line of the table of mounts.

use super::Entry;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// proc_pid_mountinfo(5): `id parent major:minor root target attributes [optional…] - type source options`.
pub(super) fn parse(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|b| *b == b' ');
    let text =
        |fields: &mut dyn Iterator<Item = &[u8]>| Some(String::from_utf8_lossy(fields.next()?).into_owned());
    let (id, parent) = (text(&mut fields)?.parse().ok()?, text(&mut fields)?.parse().ok()?);
    let device = text(&mut fields)?;
    let (root, target) = (unescaped(fields.next()?), unescaped(fields.next()?));
    let attributes = text(&mut fields)?;
    fields.find(|field| *field == b"-")?;
    let kind = text(&mut fields)?;
    let source = unescaped(fields.next()?);
    let options = text(&mut fields).unwrap_or_default().trim_end().to_owned();
    Some(Entry { id, parent, root, target, attributes, device, kind, source, options })
}

/// Blanks and backslashes are written as `\ooo`.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = if first == b'\\' { tail.get(..3) } else { None };
        let code =
            octal.and_then(|o| std::str::from_utf8(o).ok()).and_then(|o| u8::from_str_radix(o, 8).ok());
        if let Some(code) = code {
            bytes.push(code);
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::Number;
    use super::*;
    use std::path::Path;

    #[test]
    fn a_line_of_the_table_is_read() {
        let home = "36 35 254:0 /alice /home/a\\040b rw,nosuid shared:1 - ext4 /dev/mapper/home-alice rw";
        let mount = parse(home.as_bytes()).expect("a mount");
        assert_eq!((mount.id, mount.parent), (36, 35));
        assert_eq!(
            (mount.root.as_path(), mount.target.as_path()),
            (Path::new("/alice"), Path::new("/home/a b"))
        );
        assert_eq!((mount.kind.as_str(), mount.device.as_str()), ("ext4", "254:0"));
        assert_eq!(mount.source, Path::new("/dev/mapper/home-alice"));
        assert!(
            mount.is_of(Number { major: 254, minor: 0 }) && !mount.is_of(Number { major: 254, minor: 1 })
        );
        assert!(!mount.is_read_only());
        assert_eq!(mount.to_string(), "ext4 at /home/a b");
        // Its device has another name by now, and what has that name is another device.
        let (null, renamed) =
            (Number { major: 1, minor: 3 }, home.replace("/dev/mapper/home-alice", "/dev/null"));
        assert!(!parse(renamed.as_bytes()).expect("a mount").is_of(null));
        let btrfs = renamed.replace("254:0", "0:40").replace("ext4", "btrfs");
        assert!(parse(btrfs.as_bytes()).expect("a mount").is_of(null));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"1 2 3"), None);
    }
}
