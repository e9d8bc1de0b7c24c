//! `deactivate`: a home that is busy gets half a minute to become free.

use super::{Outcome, each};
use crate::bus::{Failure, Order};
use crate::context::Context;
use records::Refusal;
use records::visible::visible;
use std::time::{Duration, Instant};

/// As the original has it: a second after each refusal, for half a minute. How long the daemon takes to refuse is part of it.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);

/// `deactivate`
pub fn run(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    each(ctx, names, |name| deactivate(ctx, name))
}

/// Closes one.
pub(super) fn deactivate(ctx: &Context<'_>, name: &str) -> Result<(), Failure> {
    let begin = Instant::now();
    let order = || ctx.daemon.order("DeactivateHome", Order::Text(name));
    let tell = |sentence: &str| {
        let holders = holders(ctx, name);
        let seconds = PATIENCE.as_secs();
        ctx.asker.notice(&format!("{name}: {sentence}{holders} Trying again for {seconds} s."));
    };
    until_free(order, tell, || (ctx.pause)(PAUSE), || begin.elapsed())
}

/// Orders until the home is free or time is over, which `elapsed` tells; the first refusal is told.
fn until_free(
    order: impl Fn() -> Result<(), Failure>,
    tell: impl Fn(&str),
    pause: impl Fn(),
    elapsed: impl Fn() -> Duration,
) -> Result<(), Failure> {
    let mut was_busy = false;
    loop {
        match order() {
            Err(Failure::Refused(Refusal::HomeBusy, sentence)) if elapsed() < PATIENCE => {
                if !was_busy {
                    tell(&sentence);
                }
                was_busy = true;
                pause();
            }
            // What it was busy with was this.
            Err(Failure::Refused(Refusal::HomeNotActive, _)) if was_busy => return Ok(()),
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
    Some(format!("{} ({id})", visible(command.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn refused(refusal: Refusal) -> Result<(), Failure> {
        Err(Failure::Refused(refusal, String::new()))
    }

    #[test]
    fn what_the_daemon_takes_to_refuse_is_part_of_the_time() {
        let (seconds, orders, told) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let order = || {
            seconds.set(seconds.get() + 4);
            orders.set(orders.get() + 1);
            refused(Refusal::HomeBusy)
        };
        let tell = |_: &str| told.set(told.get() + 1);
        let done =
            until_free(order, tell, || seconds.set(seconds.get() + 1), || Duration::from_secs(seconds.get()));
        assert!(done.is_err_and(|failure| failure.is(Refusal::HomeBusy)));
        assert_eq!((orders.get(), told.get(), seconds.get()), (7, 1, 34));
    }

    #[test]
    fn one_that_became_free_by_itself_is_closed() {
        let orders = Cell::new(0);
        let order = || {
            orders.set(orders.get() + 1);
            refused(if orders.get() == 1 { Refusal::HomeBusy } else { Refusal::HomeNotActive })
        };
        assert_eq!(until_free(order, |_| {}, || {}, || Duration::ZERO), Ok(()));
        let at_once = || refused(Refusal::HomeNotActive);
        assert!(until_free(at_once, |_| {}, || {}, || Duration::ZERO).is_err());
    }
}
