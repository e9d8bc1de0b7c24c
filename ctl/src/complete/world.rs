//! This machine: the daemon, and the system's lists.

use super::{Known, World, offers};
use crate::bus::{Bus, Daemon, HomeRow, Interaction};
use crate::classic;
use records::uid;
use std::io::Write;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long somebody who pressed Tab is kept waiting for the daemon.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints what fits in the place of the last of these words.
pub fn print(words: &[&str]) {
    let lines: String = offers(words, &Here).iter().map(|offer| offer.line() + "\n").collect();
    // A reader that went away is no error.
    let _ = std::io::stdout().write_all(lines.as_bytes());
}

struct Here;

impl World for Here {
    fn homes(&self) -> Vec<HomeRow> {
        asked(|bus| bus.homes().unwrap_or_default())
    }

    fn known(&self, what: Known) -> Vec<String> {
        match what {
            Known::Keys => {
                asked(|bus| bus.keys().unwrap_or_default()).into_iter().map(|(name, _)| name).collect()
            }
            Known::Groups => column("/etc/group", ':', 0),
            Known::Shells => column("/etc/shells", ' ', 0),
            Known::Zones => {
                let mut zones = column("/usr/share/zoneinfo/zone1970.tab", '\t', 2);
                zones.push("UTC".to_owned());
                zones
            }
            Known::Containers => containers(),
            Known::Locales => locales(),
            Known::Accounts => accounts(),
            Known::Converted => notes(classic::note::FOLDER),
            Known::Released => notes(classic::release::note::FOLDER),
        }
    }
}

/// A daemon that hangs is left behind, and with it the thread: the program ends.
fn asked<T: Default + Send + 'static>(question: impl FnOnce(&Bus) -> T + Send + 'static) -> T {
    let (give, take) = channel();
    std::thread::spawn(move || {
        let answer = Bus::new(Interaction::Forbidden).map(|bus| question(&bus)).unwrap_or_default();
        // Nobody may wait any more.
        let _ = give.send(answer);
    });
    take.recv_timeout(PATIENCE).unwrap_or_default()
}

/// One column of a table of the system, without its comments.
fn column(path: &str, between: char, number: usize) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split(between).nth(number))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Those whose number can be a home's.
fn accounts() -> Vec<String> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let is_a_persons =
        |line: &&str| line.split(':').nth(2).and_then(|uid| uid.parse().ok()).is_some_and(uid::is_allowed);
    let names = text.lines().filter(is_a_persons).filter_map(|line| line.split(':').next());
    names.map(str::to_owned).collect()
}

/// Whom there are notes of; only root may see them.
fn notes(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
}

/// systemd-machined has a file for each, by its name; those with a colon are links by unit.
fn containers() -> Vec<String> {
    let entries = std::fs::read_dir("/run/systemd/machines").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.contains(':'))
        .collect()
}

fn locales() -> Vec<String> {
    let made = Command::new("locale").arg("-a").output().map(|made| made.stdout).unwrap_or_default();
    String::from_utf8_lossy(&made).lines().map(str::to_owned).collect()
}
