//! What a daemon that starts finds: host records, storage, and what an earlier daemon left behind.

use super::looks;
use super::references::Found;
use super::run::{Daemon, now_usec};
use crate::home::effect::{Event, Interrupted};
use crate::home::facts::Place;
use crate::words::request::AtSuspend;
use crate::words::uids;
use records::Record;
use std::time::Duration;

/// How long a daemon that starts waits for the file systems of all homes together.
const PATIENCE: Duration = Duration::from_secs(5);

impl Daemon {
    /// Reads host records, storage, and what an earlier daemon left behind.
    pub async fn load(&mut self) -> std::io::Result<()> {
        self.references.make()?;
        self.markers.make()?;
        // First of all: what follows may not start what takes a key.
        if let Some(left) = super::hold::left(&self.parts.paths.hold) {
            tracing::warn!("the machine is going to sleep: no home is opened before it is awake again");
            self.link.hold(true);
            self.take(Event::Held(left));
        }
        self.loading = true;
        self.parts.facts.begin_turn();
        let mut records = self.parts.outside.load();
        let machine = self.parts.manager.machine().clone();
        let places = records.iter().map(|record| Place::of(record, &machine)).collect();
        // Those that hang are not waited for: they are looked at again before they are used.
        let _ = tokio::time::timeout(PATIENCE, self.ground.ask_all(places)).await;
        // Whoever is at work keeps his UID before anybody else has it, and those that records name are not given away.
        let facts = &self.parts.facts;
        records.sort_by_cached_key(|record| {
            let is_open = facts.whereabouts(&Place::of(record, &machine)).mount.is_there();
            (!is_open, uids::bound(record, &machine).is_none())
        });
        for record in records {
            self.load_record(record);
        }
        self.forget_markers();
        for inhibitor in self.inhibitors.load(now_usec()) {
            self.take(Event::Inhibited(Box::new(inhibitor)));
        }
        let root = self.parts.paths.home_root.clone();
        let found = tokio::time::timeout(PATIENCE, looks::in_folder(root, &self.looks.root))
            .await
            .unwrap_or_default();
        // It may have been waited for.
        self.parts.facts.begin_turn();
        found.into_iter().for_each(|found| self.take(Event::Found(found)));
        self.loading = false;
        self.publish();
        // Thousands of records were read.
        crate::sys::memory::give_back();
        Ok(())
    }

    /// One home: its record, who holds it, and what was broken off.
    fn load_record(&mut self, record: Record) {
        let user = record.user().clone();
        let found: Vec<(AtSuspend, Found)> =
            AtSuspend::ALL.into_iter().map(|kind| (kind, self.references.find(&user, kind))).collect();
        let job = self.markers.take(&user);
        let holder_gone = found.iter().any(|(_, found)| *found == Found::Gone);
        let interrupted = match job.as_deref() {
            Some(what) if !crate::home::is_tending(what) => Interrupted::of(what),
            _ if holder_gone => Interrupted::HolderGone,
            _ => Interrupted::No,
        };
        let holds = |(kind, found): (AtSuspend, Found)| (found == Found::Holder).then_some(kind);
        let held = found.into_iter().filter_map(holds).collect();
        self.take(Event::Loaded(Box::new(record), interrupted, held));
    }

    /// A home that was being made has no record yet, and its job nobody whom it could be told.
    fn forget_markers(&self) {
        for user in self.markers.take_all(crate::home::is_creation) {
            tracing::warn!("a home was not made to its end, and nothing of it is kept: {user}");
        }
    }
}
