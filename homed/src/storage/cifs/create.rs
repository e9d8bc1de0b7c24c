//! Making a home in a share: the folder may be there, and has to be empty. The record comes after the files, so that what a cut
//! has left is no home.

use super::share::{self, Share, Shown};
use crate::job::{Context, Failure, Step, Steps, refuse};
use crate::storage::parts::erase::erase;
use crate::storage::parts::size::Wish;
use crate::storage::{HomeDirectory, NewHome, Spec};
use crate::sys::durable;
use records::{Refusal, Secret};
use rustix::fs::Mode;
use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

/// Makes it.
pub fn create(
    (spec, share): (&Spec, &Share),
    request: &mut NewHome<'_>,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    if spec.size != Wish::Unset {
        return super::no_size();
    }
    steps.enter(Step::Mount)?;
    let shown = Shown { owner: request.uid, attributes: spec.attributes(Some(request.vouched)) };
    let passwords = || request.keys.iter().filter(|key| !is_random(key, request.random));
    let mut top = None;
    for password in passwords() {
        top = share.mount((spec, &share.root), shown, password)?;
        if top.is_some() {
            break;
        }
    }
    let Some(top) = top else {
        return refuse(
            Refusal::BadPassword,
            format!(
                "The server of {} does not take this user and password. Nothing was changed.",
                share.root
            ),
        );
    };
    let place = share.place();
    let mut made = Made::default();
    let directory = made.walk(share::top(&top)?, &share.folders).during(format!("making {place}"))?;
    if !is_empty(&directory).during(format!("looking into {place}"))? {
        return refuse(
            Refusal::HomeExists,
            format!(
                "{place} has files in it. Nothing was changed: choose another folder (--cifs-service=), or empty that one."
            ),
        );
    }
    let done = fill(directory, request, steps);
    if done.is_err() && !made.take_back() {
        steps.warn(format!("What was copied to {place} was left there."));
    }
    done
}

fn fill(directory: OwnedFd, request: &mut NewHome<'_>, steps: &mut dyn Steps) -> Result<(), Failure> {
    steps.enter(Step::Populate)?;
    let home = HomeDirectory::new(directory)?;
    (request.fill)(&home, steps)?;
    steps.enter(Step::Sync)?;
    durable::sync_file_system(&home).during("writing the home to the server")
}

fn is_random(key: &Secret, random: &[Secret]) -> bool {
    random.iter().any(|random| random.matches(key.open()))
}

fn is_empty(directory: &OwnedFd) -> io::Result<bool> {
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first folder that was not there before, and what it is in.
#[derive(Default)]
struct Made(Option<(OwnedFd, String)>);

impl Made {
    /// Goes down these folders, and makes those that are missing. No link of the server's is followed.
    fn walk(&mut self, top: OwnedFd, folders: &[String]) -> io::Result<OwnedFd> {
        let mut here = top;
        for name in folders {
            match rustix::fs::mkdirat(&here, name.as_str(), Mode::from_raw_mode(0o700))
                .map_err(io::Error::from)
            {
                Ok(()) if self.0.is_none() => self.0 = Some((here.try_clone()?, name.clone())),
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
            here = durable::directory_at(&here, name)?;
        }
        Ok(here)
    }

    /// Takes it away again; whether nothing is left.
    fn take_back(self) -> bool {
        self.0
            .is_some_and(|(around, name)| CString::new(name).is_ok_and(|name| erase(&around, &name).is_ok()))
    }
}
