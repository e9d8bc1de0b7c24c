//! What restic prints: foreign text, of which is believed what is of the right shape.

use serde_json::Value;

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// What restic calls it: 64 hexadecimal digits.
    pub id: String,
    /// When it was made, as restic writes it.
    pub time: String,
}

/// What backups of a user's home are marked with.
pub fn mark(user: &str) -> String {
    format!("homed:{user}")
}

/// The latest backup of that user's home in what `restic snapshots --json` has printed. Several are told where they were made on
/// several machines.
pub fn latest(text: &str, user: &str) -> Option<Backup> {
    let rows: Value = serde_json::from_str(text).ok()?;
    let mark = mark(user);
    let is_marked = |row: &&Value| {
        row["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag.as_str() == Some(&mark)))
    };
    let found = rows.as_array()?.iter().filter(is_marked).filter_map(|row| {
        let (id, time) = (row["id"].as_str()?, row["time"].as_str()?);
        let moment = time.parse::<jiff::Timestamp>().ok()?;
        is_id(id).then(|| (moment, Backup { id: id.to_owned(), time: time.to_owned() }))
    });
    found.max_by_key(|(moment, _)| *moment).map(|(_, backup)| backup)
}

/// Whether somebody may mean a backup by this: no option of restic's, and none of its words.
pub fn is_id(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(id: &str, time: &str, tag: &str) -> Value {
        json!({ "id": id.repeat(8), "time": time, "tags": ["x", tag], "hostname": "one" })
    }

    #[test]
    fn the_latest_is_found_whatever_its_zone_and_machine() {
        let rows = json!([
            row("aaaaaaaa", "2026-11-27T10:00:00.123456789+01:00", "homed:alice"),
            row("bbbbbbbb", "2026-11-27T09:30:00Z", "homed:alice"),
            row("cccccccc", "2026-11-27T12:00:00Z", "homed:bob"),
        ]);
        let found = latest(&rows.to_string(), "alice").expect("found");
        assert_eq!(found.id, "bbbbbbbb".repeat(8));
        assert_eq!(latest(&rows.to_string(), "eve"), None);
    }

    #[test]
    fn what_is_not_of_the_right_shape_is_no_backup() {
        for text in ["", "{}", "[]", "[1, null]", "[{\"id\": 7}]", "{\"id\":", "\u{1b}[2J"] {
            assert_eq!(latest(text, "alice"), None, "{text}");
        }
        for (id, time) in [("--target=/", "2026-11-27T09:30:00Z"), ("aaaaaaaa", "yesterday")] {
            assert_eq!(latest(&json!([row(id, time, "homed:alice")]).to_string(), "alice"), None);
        }
        for wrong in ["", "latest", "-h", "0123", "ABCDEF12", &"a".repeat(65)] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }
}
