//! What a daemon that starts finds: host records, storage, and what an earlier daemon left behind.

use super::references::Found;
use super::run::{Daemon, now_usec};
use crate::home::effect::{Event, Interrupted};
use crate::manager::request::AtSuspend;

impl Daemon {
    /// Reads host records, storage, and what an earlier daemon left behind.
    pub fn load(&mut self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.parts.paths.references)?;
        std::fs::create_dir_all(&self.parts.paths.jobs)?;
        // First of all: what follows may not start what takes a key.
        if let Some(left) = super::hold::left(&self.parts.paths.hold) {
            tracing::warn!("the machine is going to sleep: no home is opened before it is awake again");
            self.take(Event::Held(left));
        }
        self.loading = true;
        for record in self.parts.outside.load() {
            let user = record.user().clone();
            let found: Vec<(AtSuspend, Found)> =
                AtSuspend::ALL.into_iter().map(|kind| (kind, self.references.find(&user, kind))).collect();
            let job = std::fs::read_to_string(self.marker(&user)).ok();
            // Not there is just as good.
            let _ = std::fs::remove_file(self.marker(&user));
            let holder_gone = found.iter().any(|(_, found)| *found == Found::Gone);
            let interrupted = match job.as_deref() {
                Some(what) if !crate::home::is_tending(what) => what_broke_off(what),
                _ if holder_gone => Interrupted::HolderGone,
                _ => Interrupted::No,
            };
            let holds = |(kind, found): (AtSuspend, Found)| (found == Found::Holder).then_some(kind);
            let held = found.into_iter().filter_map(holds).collect();
            self.take(Event::Loaded(Box::new(record), interrupted, held));
        }
        self.forget_markers();
        self.loading = false;
        for inhibitor in self.inhibitors.load(now_usec()) {
            self.take(Event::Inhibited(Box::new(inhibitor)));
        }
        self.look_for_storage();
        self.publish();
        Ok(())
    }

    /// A home that was being made has no record yet, and its job nobody whom it could be told.
    fn forget_markers(&self) {
        let all = std::fs::read_dir(&self.parts.paths.jobs).into_iter().flatten().flatten();
        let is_creation = |marker: &std::fs::DirEntry| {
            std::fs::read_to_string(marker.path()).is_ok_and(|what| crate::home::is_creation(&what))
        };
        for marker in all.filter(is_creation) {
            tracing::warn!(
                "a home was not made to its end, and nothing of it is kept: {:?}",
                marker.file_name()
            );
            // Not there is just as good.
            let _ = std::fs::remove_file(marker.path());
        }
    }

    /// Looks at the home root for storage that nobody knows.
    pub(super) fn look_for_storage(&mut self) {
        for found in super::scan::folder(&self.parts.paths.home_root) {
            self.take(Event::Found(found));
        }
    }
}

fn what_broke_off(what: &str) -> Interrupted {
    if crate::home::is_lock(what) {
        Interrupted::Lock
    } else if crate::home::is_close(what) {
        Interrupted::Close
    } else if crate::home::is_resize(what) {
        Interrupted::Resize
    } else if crate::home::is_look(what) {
        Interrupted::Look
    } else {
        Interrupted::Job
    }
}
