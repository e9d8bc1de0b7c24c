//! The line about snapshots.

use super::Shown;
use serde_json::Value;

/// How many scheduled snapshots there are to be.
pub fn snapshots(shown: &Shown<'_>) -> Vec<String> {
    let rows =
        [("hours", "snapshotKeepHourly"), ("days", "snapshotKeepDaily"), ("weeks", "snapshotKeepWeekly")];
    let count = |member: &str| shown.value(member).and_then(Value::as_u64).filter(|count| *count > 0);
    let kept: Vec<String> =
        rows.iter().filter_map(|(of, member)| Some(format!("{} of {of}", count(member)?))).collect();
    if kept.is_empty() { Vec::new() } else { vec![format!("kept: {}", kept.join(", "))] }
}
