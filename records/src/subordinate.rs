//! IDs that a user gives to the users of her containers (subuid(5), subgid(5)).
//!
//! A home's user has [`COUNT`] of them on every machine, found from the UID: nothing is handed out, so nobody has another's.
//! They lie where neither systemd nor `useradd` gives any, between systemd's containers and its foreign range. On the
//! disk they are always [`STORED`]: what a container has written is the same container's on another machine, where the user
//! may have another UID.

use crate::names::UserName;
use crate::uid::RANGE;
use std::ops::RangeInclusive;

/// How many: what container programs ask for.
pub const COUNT: u32 = 65536;
/// The first of them on the disk.
pub const STORED: u32 = 0x7000_0000;
/// All that are ever given. Source: systemd's UIDS-GIDS document, which leaves 0x70000000 to 0x7FFDFFFF to nobody.
const GIVEN: RangeInclusive<u32> = STORED..=STORED + (*RANGE.end() - *RANGE.start() + 1) * COUNT - 1;

/// The first of a user's on this machine; `None`: a UID of an administrator's choosing has those of /etc/subuid alone.
pub fn first(uid: u32) -> Option<u32> {
    RANGE.contains(&uid).then(|| STORED + (uid - RANGE.start()) * COUNT)
}

/// The text of /etc/subuid or /etc/subgid in which that user has hers; `None`: it is so already. Whoever has a line that is
/// not from here keeps that, and is given none.
pub fn given(text: &str, user: &UserName, uid: u32) -> Option<String> {
    let first = first(uid)?;
    let own = format!("{user}:{first}:{COUNT}");
    let theirs = |line: &&str| name(line) == user.as_str() || name(line).parse() == Ok(uid);
    if text.lines().filter(theirs).any(|line| line == own || !is_given(line)) {
        return None;
    }
    // Those of a former UID, and what a user who is gone has left.
    let stale = |line: &str| is_given(line) && (name(line) == user.as_str() || start(line) == Some(first));
    Some(kept(text, |line| !stale(line)) + &own + "\n")
}

/// The same without what this user has from here; `None`: there is nothing.
pub fn taken(text: &str, user: &UserName) -> Option<String> {
    let own = |line: &str| is_given(line) && name(line) == user.as_str();
    text.lines().any(own).then(|| kept(text, |line| !own(line)))
}

fn kept(text: &str, keep: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| keep(line)).map(|line| format!("{line}\n")).collect()
}

fn name(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

fn start(line: &str) -> Option<u32> {
    line.split(':').nth(1)?.parse().ok()
}

fn is_given(line: &str) -> bool {
    start(line).is_some_and(|start| GIVEN.contains(&start)) && line.ends_with(&format!(":{COUNT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> UserName {
        UserName::parse("alice").expect("a name")
    }

    #[test]
    fn everybody_has_others_and_they_lie_where_nobody_else_has_any() {
        assert_eq!(first(60001), Some(STORED));
        assert_eq!(first(60002), Some(STORED + COUNT));
        assert_eq!(first(60513).map(|first| first + COUNT - 1), Some(*GIVEN.end()));
        assert_eq!(first(1000), None);
        let passed = crate::uid::PASSED;
        assert!(passed.iter().all(|(first, last)| *last < *GIVEN.start() || *first > *GIVEN.end()));
    }

    #[test]
    fn a_line_is_added_once_and_follows_the_uid() {
        let others = "bob:100000:65536\n# by hand\n60009:5:1";
        let text = given(others, &alice(), 60002).expect("added");
        assert_eq!(text, "bob:100000:65536\n# by hand\n60009:5:1\nalice:1879113728:65536\n");
        assert_eq!(given(&text, &alice(), 60002), None);
        let moved = given(&text, &alice(), 60001).expect("another");
        assert_eq!(moved, "bob:100000:65536\n# by hand\n60009:5:1\nalice:1879048192:65536\n");
        assert_eq!(taken(&moved, &alice()).as_deref(), Some("bob:100000:65536\n# by hand\n60009:5:1\n"));
        assert_eq!(taken(others, &alice()), None);
    }

    #[test]
    fn lines_of_an_administrator_stay_and_are_enough() {
        for text in ["alice:100000:65536\n", "60002:100000:65536\n", "alice:1879113728:10\n"] {
            assert_eq!(given(text, &alice(), 60002), None, "{text}");
            assert_eq!(taken(text, &alice()), None, "{text}");
        }
        assert_eq!(given("", &alice(), 1000), None);
    }

    #[test]
    fn what_somebody_has_left_who_had_the_uid_goes() {
        let text = given("gone:1879113728:65536\nbob:1879048192:65536\n", &alice(), 60002);
        assert_eq!(text.as_deref(), Some("bob:1879048192:65536\nalice:1879113728:65536\n"));
    }
}
