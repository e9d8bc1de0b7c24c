//! What a home looks like now: its record with the live part of `status`.

use super::Home;
use super::Turn;
use super::facts::{Facts, Figures, SignedLocally};
use super::inhibitor::Inhibitor;
use super::state::Resting;
use super::view::{HomeView, UnixRecord};
use crate::words::request::HomeLock;
use records::{Machine, Packed, Record, Settings, userdb};
use serde_json::{Map, Value};

/// The name under which the userdb front is found; a member of every live status.
pub const SERVICE: &str = "io.systemd.Home";
/// Largest size that is claimed to be possible: 5 TiB, as in the original.
const MOST: u64 = 5 << 40;
/// Smallest: 5 MiB.
const LEAST: u64 = 5 << 20;

impl Home {
    /// The home, looked at now.
    pub fn view(&self, turn: &Turn) -> HomeView {
        let (machine, facts) = (turn.machine, turn.facts);
        let record = self.record();
        let settings = record.on(machine);
        let user = self.user().clone();
        HomeView {
            place: self.place.clone(),
            unix: UnixRecord {
                uid: self.uid,
                gid: self.uid,
                real_name: settings.effective_real_name().to_owned(),
                home_directory: self.place.home_directory.clone(),
                shell: settings.effective_shell().to_owned(),
                name: user,
            },
            auto_login: settings.auto_login == Some(true),
            others: self
                .record
                .names()
                .iter()
                .filter(|name| *name != self.user().as_str())
                .cloned()
                .collect(),
            groups: userdb::memberships(&record, machine),
            disposition: disposition(&record).to_owned(),
            record: Packed::of(&self.live_record(&record, &settings, turn)),
            state: self.state(facts),
        }
    }

    /// `useFallback` is not set: an inactive user keeps the true shell and home directory.
    fn live_record(&self, record: &Record, settings: &Settings, turn: &Turn) -> Record {
        let (machine, facts) = (turn.machine, turn.facts);
        let state = self.state(facts);
        let mut status = self.attempts.status();
        status.insert("state".into(), state.name().into());
        status.insert("service".into(), SERVICE.into());
        if let Some(signed) = self.signed_locally {
            status.insert("signedLocally".into(), Value::Bool(signed == SignedLocally::Yes));
        }
        if state.resting == Resting::Locked
            && let Some(seal) = self.seal_shown()
        {
            status.insert("seal".into(), seal.to_json());
        }
        if self.is_restricted() {
            let claims = self.trust_report(machine);
            let not_yet = claims.claims.keys().filter(|name| !claims.accepted.contains_key(*name));
            status.insert("trust".into(), "restricted".into());
            status.insert("notBelieved".into(), not_yet.map(String::as_str).collect::<Vec<_>>().into());
            status.insert("signers".into(), claims.signers.into());
        }
        let inhibitors: Vec<Value> = self.inhibitors(turn.now_usec).map(Inhibitor::to_json).collect();
        if !inhibitors.is_empty() {
            status.insert("lockInhibitors".into(), inhibitors.into());
        }
        if !self.is_lockable(facts) {
            status.insert("lockable".into(), Value::Bool(false));
        }
        if let (true, Some(kind)) = (state.is_active(), &settings.file_system_type) {
            status.insert("fileSystemType".into(), kind.as_str().into());
        }
        let mut binding = Map::new();
        binding.insert("uid".into(), self.uid.into());
        binding.insert("gid".into(), self.uid.into());
        record.with_binding(&machine.id, binding).with_status(&machine.id, status)
    }

    /// Whether there is a key that could be taken out of memory.
    fn is_lockable(&self, facts: &dyn Facts) -> bool {
        facts.parts(&self.place).is_some_and(|parts| parts.locks)
    }

    /// What is to be known about its lock.
    pub fn lock_report(&self, turn: &Turn) -> HomeLock {
        HomeLock {
            user: self.user().clone(),
            state: self.state(turn.facts).name(),
            lockable: self.is_lockable(turn.facts),
            last_lock: self.last_lock.clone(),
        }
    }
}

fn disposition(record: &Record) -> &str {
    record.members().get("disposition").and_then(Value::as_str).unwrap_or("regular")
}

/// A live record with its sizes in `status`.
pub fn with_figures(record: &Record, machine: &Machine, figures: Figures) -> Record {
    let floor = figures.floor.max(figures.usage).map(|floor| floor.max(LEAST));
    let fields = [
        ("diskSize", figures.size),
        ("diskUsage", figures.usage),
        ("diskFree", figures.free),
        ("diskCeiling", figures.ceiling.map(|ceiling| ceiling.min(MOST))),
        ("diskFloor", floor),
        // Not the original's: what the image takes of its disk, and what that has free.
        ("diskAllocated", figures.allocated),
        ("diskOutside", figures.outside),
        ("accessMode", figures.access_mode.map(u64::from)),
    ];
    let known = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    record.with_status(&machine.id, known.collect())
}
