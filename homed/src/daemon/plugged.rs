//! Watches what is plugged in and pulled out: udev tells of every device that comes, changes or goes.

use super::aside::{self, Gate};
use super::events::{Events, Happened};
use super::{ground, scan};
use crate::home::effect::Event;
use crate::statedir::opened_with::{self, Gone, Wish};
use crate::storage::plugged::{self, Seen};
use crate::sys::reactor::Udev;
use std::io;
use std::time::Duration;

/// How long after a token was pulled out its home is looked at again: a lock may have waited in vain, or failed.
const AGAIN: Duration = Duration::from_secs(60);

/// Begins to watch; reports until the daemon ends, what is there already first.
pub fn start(events: Events) -> io::Result<()> {
    let udev = Udev::new()?;
    tokio::spawn(follow(udev, events));
    Ok(())
}

async fn follow(udev: Udev, events: Events) {
    let (gate, mut before, mut tokens) = (Gate::default(), Seen::default(), Tokens::default());
    loop {
        let mut open = tokens.report(&events).await;
        if let Some(now) = aside::once(&gate, ground::BOUND, plugged::seen).await {
            report(&before, &now, &events);
            before = now;
        }
        let changed = loop {
            if open == Open::No {
                break udev.until_changed().await;
            }
            match tokio::time::timeout(AGAIN, udev.until_changed()).await {
                Ok(changed) => break changed,
                Err(_) => open = tokens.report(&events).await,
            }
        };
        if let Err(error) = changed {
            return tracing::warn!("homes that are plugged in are no longer seen by themselves: {error}");
        }
    }
}

/// Whether a home may still be open whose token was pulled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Perhaps,
    No,
}

/// Tokens that have opened homes, and were pulled out.
#[derive(Default)]
struct Tokens {
    gate: Gate,
    told: Vec<Gone>,
}

impl Tokens {
    /// Tells of them. What they are known by is forgotten by who locks or closes the home, so that it is told again until then,
    /// and by the next daemon. Of one whose home did not want a lock it is told once: the record may say otherwise by now, and
    /// a record that says so later is about the next token.
    async fn report(&mut self, events: &Events) -> Open {
        let Some(gone) = aside::once(&self.gate, ground::BOUND, opened_with::gone).await else {
            return Open::Perhaps;
        };
        let open = if gone.iter().any(|one| one.wish == Wish::Lock) { Open::Perhaps } else { Open::No };
        due(&gone, &self.told).for_each(|one| events.event(Event::TokenGone(one.user.clone())));
        self.told = gone;
        open
    }
}

fn due<'a>(gone: &'a [Gone], told: &'a [Gone]) -> impl Iterator<Item = &'a Gone> {
    gone.iter().filter(|one| one.wish == Wish::Lock || !told.contains(one))
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
    fn a_token_is_told_of_again_where_its_home_wanted_a_lock() {
        let here = opened_with::Plugged::at(std::path::Path::new("/")).expect("a folder");
        let gone = |user: &str, wish| Gone {
            user: records::UserName::parse(user).expect("a name"),
            wish,
            device: here.clone(),
        };
        let all = [gone("alice", Wish::Lock), gone("bob", Wish::Nothing)];
        let users = |told: &[Gone]| due(&all, told).map(|one| one.user.to_string()).collect::<Vec<_>>();
        assert_eq!(users(&[]), ["alice", "bob"]);
        assert_eq!(users(&all), ["alice"]);
        // The next opening of his.
        assert_eq!(users(&[gone("bob", Wish::Lock)]), ["alice", "bob"]);
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
