//! The kind `cifs`: a folder in a share of a server that speaks SMB, mounted with the user's password, which is the server's.
//!
//! ```text
//! //host/share/folder ──────────────────────→ /home/alice
//!  (.identity inside)    a mount of its own
//! ```
//!
//! Nothing of it is on this machine but the host's record. The server knows the password, and what it stores it can read; the
//! kernel keeps it for as long as the home is open, to connect again. Files have no owner on the way: the mount shows all of them
//! as the user's. So there is no key, no lock and no size, and the password is changed at the server.

use super::examined::{Examination, Examined, FileSystem, Image, Inside, Looked};
use super::kind::{Kind, Parts};
use super::parts::tree;
use super::parts::unmount;
use super::traces::Traces;
use super::whereabouts::{Clues, Kernel, Standing};
use super::{Backend, HomeDirectory, NewHome, Opened, Opening, Resized, Spec, Vault};
use crate::job::{Context, Failure, Force, Seen, Size, Step, Steps, refuse};
use crate::sys::durable;
use crate::sys::mount::{self, Found};
use records::signature::Vouched;
use records::{Record, Refusal, Secret, Storage};
use serde_json::{Map, Value, json};
use share::{Share, Shown};
use std::io;
use std::os::fd::OwnedFd;

mod create;
mod share;

/// The kind.
pub const KIND: Kind = Kind {
    storage: Storage::Cifs,
    // No path of this machine is one.
    is_one: |_, _| false,
    says: |_, _| None,
    lacks: |_| None,
    is_folder: true,
    parts: Parts { keyed: false, locks: false, resizes: false, tends: false },
    standing,
    traces: |_| Traces::none(),
    key: |_| Vec::new(),
};

/// The backend for the home of this spec.
pub fn backend(mut spec: Spec) -> Result<Box<dyn Backend>, Failure> {
    let share = Share::of(&mut spec)?;
    Ok(Box::new(Cifs { spec, share }))
}

/// How far a home is open: a share that is mounted at its directory.
fn standing(clues: &Clues<'_>, kernel: &Kernel) -> io::Result<Standing> {
    let mounts = kernel.mounts()?;
    // The record calls the storage as the table of mounts does.
    let is_home = |mount: &mount::Entry| mount.kind == "cifs" && mount.source == clues.image;
    let is_at = |spot: &mount::Spot| {
        let top = spot.mounts(mounts).last().map(|top| top.id);
        top.is_some_and(|top| mount::find(mounts, is_home).iter().any(|found| found.top().id == top))
    };
    let is_mounted = clues.spots(mounts)?.iter().any(is_at);
    Ok(if is_mounted { Standing::Mounted } else { Standing::Closed })
}

struct Cifs {
    spec: Spec,
    share: Share,
}

impl Cifs {
    /// The home's mounts at its directory, whatever lies over them.
    fn mounts(&self) -> io::Result<Vec<Found>> {
        let Some(top) = mount::at(&self.spec.home_directory)? else { return Ok(Vec::new()) };
        let mut found = mount::find(&mount::table("self")?, |mount| self.share.is_shown_by(mount));
        found.retain(|found| found.top().id == top.id);
        // The walk to the place has just ended there.
        found.iter_mut().for_each(|found| found.reachable = true);
        Ok(found)
    }

    /// Files of the home as whose they are known to be; root reads them in any case.
    fn shown(&self) -> Shown {
        Shown { owner: self.spec.values.uid.unwrap_or(0), attributes: self.spec.attributes(None) }
    }

    /// With the first of these that the server takes.
    fn opened(&self, keys: &[Secret]) -> Result<Option<OpenShare>, Failure> {
        let place = self.share.place();
        for key in keys {
            if let Some(mount) = self.share.mount((&self.spec, &place), self.shown(), key)? {
                let home = HomeDirectory::new(share::top(&mount)?)?;
                let (spec, share) = (self.spec.clone(), self.share.clone());
                let password = key.duplicate();
                return Ok(Some(OpenShare { home, _mount: mount, spec, share, password, vouched: None }));
            }
        }
        Ok(None)
    }
}

impl Backend for Cifs {
    fn create(
        &self,
        request: &mut NewHome<'_>,
        steps: &mut dyn Steps,
    ) -> Result<Map<String, Value>, Failure> {
        create::create((&self.spec, &self.share), request, steps)?;
        Ok(binding(&self.spec))
    }

    fn open(&self, _: Opening, keys: &[Secret], steps: &mut dyn Steps) -> Result<Box<dyn Opened>, Failure> {
        steps.enter(Step::Unlock)?;
        match self.opened(keys)? {
            Some(opened) => Ok(Box::new(opened)),
            None => Err(Refusal::BadPassword.into()),
        }
    }

    fn close(&self, force: Force, steps: &mut dyn Steps) -> Result<(), Failure> {
        steps.enter(Step::Sync)?;
        let is_open = self.mounts().is_ok_and(|found| !found.is_empty());
        // A server that is gone takes nothing any more, and is no reason to keep the home open.
        if is_open
            && let Err(error) =
                durable::directory(&self.spec.home_directory).and_then(durable::sync_file_system)
        {
            steps.warn(format!("The server may not have all that was written last: {error}."));
        }
        steps.enter(Step::Unmount)?;
        unmount::those(&|| self.mounts(), force, steps).map(drop)
    }

    fn accept(&self, record: &Record) -> Result<(), Failure> {
        if self.spec.wishes_another_size(record)? { no_size() } else { Ok(()) }
    }

    fn remove(&self, steps: &mut dyn Steps) -> Result<(), Failure> {
        steps.warn(format!("What lies in {} on the server was left there.", self.share.place()));
        Ok(())
    }

    fn sweep(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn examine(&self, wish: &Examination<'_>, steps: &mut dyn Steps) -> Result<Examined, Failure> {
        steps.enter(Step::Check)?;
        let mut found = Examined { image: Image::OnServer, ..Examined::default() };
        if wish.seen != Seen::Closed || wish.keys.is_empty() {
            return Ok(found);
        }
        steps.enter(Step::ReadCopies)?;
        match self.opened(wish.keys) {
            Ok(Some(opened)) => {
                let record = opened.home.read_record().map_err(|failure| failure.text().to_owned());
                found.inside = Some(Looked::At(Inside { file_system: FileSystem::OfTheMachine, record }));
            }
            Ok(None) => {}
            Err(failure) => found.image = Image::Unreadable(failure.text().to_owned()),
        }
        Ok(found)
    }
}

/// A share that the password has opened, mounted for this process alone.
struct OpenShare {
    home: HomeDirectory,
    /// With it the connection, which a second mount takes up again.
    _mount: OwnedFd,
    spec: Spec,
    share: Share,
    password: Secret,
    vouched: Option<Vouched>,
}

impl Opened for OpenShare {
    fn home(&mut self, _: &mut dyn Steps) -> Result<&HomeDirectory, Failure> {
        Ok(&self.home)
    }

    fn binding(&self) -> Map<String, Value> {
        binding(&self.spec)
    }

    fn resize(&mut self, _: Size, _: &mut dyn Steps) -> Result<Resized, Failure> {
        no_size()
    }

    fn expose(self: Box<Self>, uid: u32, steps: &mut dyn Steps) -> Result<(), Failure> {
        steps.enter(Step::Expose)?;
        let shown = Shown { owner: uid, attributes: self.spec.attributes(self.vouched) };
        let place = self.share.place();
        let Some(mount) = self.share.mount((&self.spec, &place), shown, &self.password)? else {
            return Err(Refusal::BadPassword.into());
        };
        let target = &self.spec.home_directory;
        tree::make_target(target)?;
        mount::attach(&mount, target).during(format!("mounting at {}", target.display()))
    }

    fn finish(self: Box<Self>, _: &mut dyn Steps) -> Result<(), Failure> {
        durable::sync_file_system(&self.home).during("writing the home to the server")
    }

    fn vouch(&mut self, vouched: Vouched) {
        self.vouched = Some(vouched);
    }

    fn vault(&mut self) -> Option<&mut dyn Vault> {
        None
    }

    fn keeps_passwords(&self) -> Result<(), Failure> {
        refuse(
            Refusal::NotSupported,
            "The home lies on a server, and its password is the server's: it is changed there. Nothing was changed.",
        )
    }
}

fn binding(spec: &Spec) -> Map<String, Value> {
    let all = json!({ "storage": spec.storage.as_str(), "homeDirectory": spec.home_directory });
    all.as_object().cloned().unwrap_or_default()
}

fn no_size<T>() -> Result<T, Failure> {
    refuse(
        Refusal::NotSupported,
        "A home on a server cannot be given a size here: the server says how much is free. Leave --disk-size= out.",
    )
}
