//! `deactivate`: a home that is busy gets half a minute to become free.

use super::{Outcome, each};
use crate::bus::{Failure, Order};
use crate::context::Context;
use records::Refusal;
use std::time::Duration;

const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// `deactivate`
pub fn run(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    each(ctx, names, |name| deactivate(ctx, name))
}

fn deactivate(ctx: &Context<'_>, name: &str) -> Result<(), Failure> {
    let mut left = TRIES;
    loop {
        match ctx.daemon.order("DeactivateHome", Order::Text(name)) {
            Err(Failure::Refused(Refusal::HomeBusy, sentence)) if left > 0 => {
                if left == TRIES {
                    ctx.asker.notice(&format!(
                        "{name}: {sentence}{} Trying again for {TRIES} s.",
                        holders(ctx, name)
                    ));
                }
                left -= 1;
                (ctx.pause)(PAUSE);
            }
            // What it was busy with was this.
            Err(Failure::Refused(Refusal::HomeNotActive, _)) if left < TRIES => return Ok(()),
            other => return other,
        }
    }
}

/// Who has the home as working directory, as far as this caller may see.
fn holders(ctx: &Context<'_>, name: &str) -> String {
    let homes = ctx.daemon.homes().unwrap_or_default();
    let Some(home) = homes.into_iter().find(|home| home.name == name) else { return String::new() };
    let Ok(processes) = std::fs::read_dir("/proc") else { return String::new() };
    let busy: Vec<String> =
        processes.flatten().filter_map(|entry| holder(&entry.path(), &home.home)).take(5).collect();
    if busy.is_empty() { String::new() } else { format!(" It is used by {}.", busy.join(", ")) }
}

fn holder(process: &std::path::Path, home: &str) -> Option<String> {
    let id: u32 = process.file_name()?.to_str()?.parse().ok()?;
    let links =
        std::fs::read_dir(process.join("fd")).ok().into_iter().flatten().flatten().map(|entry| entry.path());
    let inside =
        |link: &std::path::Path| std::fs::read_link(link).is_ok_and(|target| target.starts_with(home));
    if !inside(&process.join("cwd")) && !links.into_iter().any(|link| inside(&link)) {
        return None;
    }
    let command = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    Some(format!("{} ({id})", command.trim()))
}
