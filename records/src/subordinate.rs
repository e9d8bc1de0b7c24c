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

/// Somebody else has some of these IDs, by that line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("somebody else has them, by \u{201c}{0}\u{201d}")]
pub struct Others(pub String);

/// The text of /etc/subuid or /etc/subgid in which that user has hers; `None`: it is so already. Whoever has a line that is
/// not from here keeps that, and is given none. What others have stays theirs, unless it is from here, and `is_known` says that
/// no user is called so (or has that UID: both stand there) any more.
pub fn given(
    text: &str,
    (user, uid): (&UserName, u32),
    is_known: impl Fn(&str) -> bool,
) -> Result<Option<String>, Others> {
    let Some(first) = first(uid) else { return Ok(None) };
    let own = format!("{user}:{first}:{COUNT}");
    let is_theirs = |line: &str| name(line) == user.as_str() || name(line).parse() == Ok(uid);
    if text.lines().any(|line| is_theirs(line) && (line == own || !is_given(line))) {
        return Ok(None);
    }
    let is_line = |line: &str| !line.trim_start().starts_with('#');
    let others = || text.lines().filter(|line| is_line(line) && !is_theirs(line) && overlaps(line, first));
    if let Some(line) = others().find(|line| !is_given(line) || is_known(name(line))) {
        return Err(Others(line.to_owned()));
    }
    // Those of a former UID, and what users who are gone have left.
    let left: Vec<&str> = others().collect();
    let is_stale = |line: &str| left.contains(&line) || is_theirs(line);
    Ok(Some(kept(text, |line| !is_stale(line)) + &own + "\n"))
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

/// Whether it gives any of the IDs that begin there.
fn overlaps(line: &str, first: u32) -> bool {
    let count = || line.split(':').nth(2)?.parse::<u32>().ok();
    let (Some(start), Some(count)) = (start(line), count()) else { return false };
    start < first.saturating_add(COUNT) && first < start.saturating_add(count)
}

/// Whether a line gives IDs that are from here.
pub fn is_given(line: &str) -> bool {
    start(line).is_some_and(|start| GIVEN.contains(&start)) && line.ends_with(&format!(":{COUNT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> UserName {
        UserName::parse("alice").expect("a name")
    }

    /// On a machine on which these users are known.
    fn given_beside(text: &str, uid: u32, known: &[&str]) -> Result<Option<String>, Others> {
        given(text, (&alice(), uid), |name| known.contains(&name))
    }

    #[test]
    fn everybody_has_others_and_they_lie_where_nobody_else_has_any() {
        assert_eq!(first(60001), Some(STORED));
        assert_eq!(first(60002), Some(STORED + COUNT));
        assert_eq!(first(60513).map(|first| first + COUNT - 1), Some(*GIVEN.end()));
        assert_eq!(first(1000), None);
        let passed = crate::uid::PASSED;
        assert!(passed.iter().all(|(first, last)| *last < *GIVEN.start() || *first > *GIVEN.end()));
        // Neither is anybody's UID among them.
        for uid in [*GIVEN.start(), 1_879_113_728, *GIVEN.end()] {
            assert!(!crate::uid::is_allowed(uid), "{uid}");
        }
        assert!(crate::uid::is_allowed(GIVEN.end() + 1));
    }

    #[test]
    fn a_line_is_added_once_and_follows_the_uid() -> Result<(), Others> {
        let others = "bob:100000:65536\n# by hand\n60009:5:1";
        let text = given_beside(others, 60002, &["bob"])?.expect("added");
        assert_eq!(text, "bob:100000:65536\n# by hand\n60009:5:1\nalice:1879113728:65536\n");
        assert_eq!(given_beside(&text, 60002, &["alice"])?, None);
        let moved = given_beside(&text, 60001, &["alice"])?.expect("another");
        assert_eq!(moved, "bob:100000:65536\n# by hand\n60009:5:1\nalice:1879048192:65536\n");
        assert_eq!(taken(&moved, &alice()).as_deref(), Some("bob:100000:65536\n# by hand\n60009:5:1\n"));
        assert_eq!(taken(others, &alice()), None);
        Ok(())
    }

    #[test]
    fn what_is_commented_out_gives_nobody_anything() -> Result<(), Others> {
        let text = "#bob:1000000000:1000000000\n# carol:1879113728:65536\n";
        let added = format!("{text}alice:1879113728:65536\n");
        assert_eq!(given_beside(text, 60002, &["bob"])?, Some(added));
        Ok(())
    }

    #[test]
    fn lines_of_an_administrator_stay_and_are_enough() -> Result<(), Others> {
        for text in ["alice:100000:65536\n", "60002:100000:65536\n", "alice:1879113728:10\n"] {
            assert_eq!(given_beside(text, 60002, &["alice"])?, None, "{text}");
            assert_eq!(taken(text, &alice()), None, "{text}");
        }
        assert_eq!(given_beside("", 1000, &[])?, None);
        Ok(())
    }

    #[test]
    fn what_somebody_has_left_who_is_gone_goes_and_what_others_have_stays() -> Result<(), Others> {
        let left = "gone:1879113728:65536\n60009:1879113728:65536\nbob:1879048192:65536\n";
        let text = given_beside(left, 60002, &["bob"])?;
        assert_eq!(text.as_deref(), Some("bob:1879048192:65536\nalice:1879113728:65536\n"));
        for (line, known) in [
            ("bob:1879113728:65536", "bob"),
            ("60009:1879113728:65536", "60009"),
            // By hand, and half of it.
            ("bob:1879113720:16", "bob"),
            ("gone:1879100000:70000", "bob"),
            ("bob:1000000000:1000000000", "bob"),
        ] {
            let text = format!("gone:1879113728:65536\n{line}\n");
            assert_eq!(given_beside(&text, 60002, &[known]), Err(Others(line.into())));
            // Those beside it are hers all the same.
            assert_eq!(given_beside(&text, 60500, &[known]).is_ok(), !line.ends_with("0000000"), "{line}");
        }
        Ok(())
    }
}
