//! What the kernel answered is read where it was asked: numbers of errors stay in the ground rooms.

use super::paths::named;
use super::source::Source;

/// Every place above the ground where the number of an error is read or named. An [`std::io::ErrorKind`] says the same in
/// words; what has none, a function of the ground tells by its own type.
pub fn check(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for found in named(source, &["errnos".to_owned()]) {
        if let [krate, name] = found.path.as_slice()
            && krate == "libc"
            && is_errno(name)
        {
            wrong.push(source.finding(found.line, &format!("libc::{name} above the ground")));
        }
    }
    let reads = source.tokens.iter().filter(|token| token.text == "raw_os_error");
    wrong.extend(reads.map(|token| source.finding(token.line, "raw_os_error above the ground")));
    wrong
}

/// `ENOENT`, and not `EOF` or `EPOLLIN`: those have an underscore, small letters, or are listed.
fn is_errno(name: &str) -> bool {
    let rest = name.strip_prefix('E').unwrap_or_default();
    rest.len() > 1
        && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && !rest.starts_with("POLL")
}

/// Whether the file lies in a ground room.
pub fn is_ground(path: &str) -> bool {
    path.split('/').any(|part| part == "sys" || part == "sys.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_an_error_is_found_and_a_flag_is_not() {
        let text =
            "fn f(e: &io::Error) { e.raw_os_error() == Some(libc::ENOKEY); libc::O_DIRECT; libc::EPOLLIN; }";
        let found = check(&Source::new("homed/src/storage/x.rs", text));
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn the_ground_is_known_by_its_folders() {
        assert!(is_ground("homed/src/sys/keyring.rs") && is_ground("homed/console/src/sys.rs"));
        assert!(!is_ground("homed/src/system/x.rs"));
    }
}
