//! Watches what is plugged in and pulled out: udev tells of every device that comes, changes or goes.

use super::aside::{self, Gate};
use super::events::{Events, Happened};
use super::{ground, scan};
use crate::home::effect::Event;
use crate::statedir::opened_with;
use crate::storage::plugged::{self, Seen};
use crate::sys::reactor::Udev;
use std::io;

/// Begins to watch; reports until the daemon ends, what is there already first.
pub fn start(events: Events) -> io::Result<()> {
    let udev = Udev::new()?;
    tokio::spawn(follow(udev, events));
    Ok(())
}

async fn follow(udev: Udev, events: Events) {
    let (gate, mut before) = (Gate::default(), Seen::default());
    loop {
        if let Some(now) = aside::once(&gate, ground::BOUND, plugged::seen).await {
            report(&before, &now, &events);
            before = now;
        }
        report_tokens(&gate, &events).await;
        if let Err(error) = udev.until_changed().await {
            return tracing::warn!("homes that are plugged in are no longer seen by themselves: {error}");
        }
    }
}

/// Tokens that have opened homes, and were pulled out. What they are known by is forgotten once the loop has been told.
async fn report_tokens(gate: &Gate, events: &Events) {
    for user in aside::once(gate, ground::BOUND, opened_with::gone).await.into_iter().flatten() {
        events.event(Event::TokenGone(user.clone()));
        aside::once(gate, ground::BOUND, move || drop(opened_with::forget(&user))).await;
    }
}

fn report(before: &Seen, now: &Seen, events: &Events) {
    let appeared = now.homes.iter().filter(|home| !before.homes.contains(home));
    for found in appeared.filter_map(scan::of_plugged) {
        events.send(Happened::Seen(Event::Found(found)));
    }
    for gone in before.homes.iter().filter(|home| !now.homes.contains(home)) {
        events.send(Happened::Seen(Event::Vanished(gone.path.display().to_string())));
    }
    if before.devices.iter().any(|device| !now.devices.contains(device)) {
        // Whatever a home lies on may have been there.
        events.send(Happened::DevicesGone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::plugged::Plugged;

    fn seen(devices: &[&str], homes: &[&str]) -> Seen {
        let home = |name: &&str| Plugged {
            path: format!("/dev/disk/{name}").into(),
            name: (*name).to_owned(),
            storage: records::Storage::Directory,
        };
        Seen {
            devices: devices.iter().map(|&device| device.to_owned()).collect(),
            homes: homes.iter().map(home).collect(),
        }
    }

    #[test]
    fn what_comes_and_goes_is_told_once() {
        let told = |before: &Seen, now: &Seen| {
            let (events, mut happened) = Events::new();
            report(before, now, &events);
            let mut all = Vec::new();
            while let Ok(one) = happened.try_recv() {
                all.push(match one {
                    Happened::Seen(Event::Found(found)) => format!("+{} {}", found.name, found.image),
                    Happened::Seen(Event::Vanished(path)) => format!("-{path}"),
                    Happened::DevicesGone => "gone".to_owned(),
                    _ => "something else".to_owned(),
                });
            }
            all.join(", ")
        };
        let (nothing, stick) = (seen(&["8:0"], &[]), seen(&["8:0", "8:16"], &["alice"]));
        assert_eq!(told(&Seen::default(), &nothing), "");
        assert_eq!(told(&nothing, &stick), "+alice /dev/disk/alice");
        assert_eq!(told(&stick, &stick), "");
        assert_eq!(told(&stick, &nothing), "-/dev/disk/alice, gone");
        assert_eq!(told(&stick, &seen(&["8:0"], &["bob"])), "+bob /dev/disk/bob, -/dev/disk/alice, gone");
    }
}
