//! What is in a home, copied into a folder beside its place.
//!
//! ```text
//! open, or opened → measured → (asked) → copied → compared → nothing was changed since, nobody runs → closed
//! ```

use super::note::Released;
use crate::bus::{Failure, Order, Suspend};
use crate::classic::around;
use crate::context::Context;
use copytree::{Continue, Copied, Copy, Difference, Measure, Progress, Terms, What};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use records::visible::visible_path;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What homed itself has in a home: the record, and its pictures.
const HOMEDS: [&str; 2] = [".identity", ".identity-blob"];
/// So many differences are named.
const NAMED: usize = 5;
/// So many are looked at: where the disk keeps less than the home's, each file may have one.
const LOOKED_AT: usize = 1_000_000;

/// A home that is open for as long as this lives.
pub struct Opened<'a, 'c> {
    ctx: &'a Context<'c>,
    user: &'a str,
    folder: PathBuf,
    /// What keeps it open that was closed.
    reference: Option<OwnedFd>,
    top: File,
}

impl<'a, 'c> Opened<'a, 'c> {
    /// Opens it with its password, unless it is open.
    pub fn begin(ctx: &'a Context<'c>, user: &'a str, folder: &Path) -> Result<Self, Failure> {
        let folder = folder.to_owned();
        let reference = match is_mounted(&folder) {
            true => None,
            false => {
                let talk = ctx.talk(user);
                let acquire = |argument: &str| ctx.daemon.acquire(user, argument, Suspend::Prevented);
                Some(talk.insist(&mut talk.ready(), |handed| acquire(&handed.argument))?)
            }
        };
        let broken = |why: String| Failure::say(format!("{}: {why}. Nothing was changed.", folder.display()));
        // Followed links would lead elsewhere.
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let top = File::options().read(true).custom_flags(flags).open(&folder);
        let top = top.map_err(|error| broken(error.to_string()))?;
        if !is_mounted(&folder) {
            return Err(broken("the home is open, and not mounted there for this program".to_owned()));
        }
        Ok(Self { ctx, user, folder, reference, top })
    }

    /// What is in it, and what a copy of it will not have.
    pub fn measure(&self, terms: &Terms) -> Result<Measure, Failure> {
        self.measure_until(terms, &|| false)
    }

    fn measure_until(&self, terms: &Terms, stop: &dyn Fn() -> bool) -> Result<Measure, Failure> {
        copytree::measure_until(stop, self.top.as_fd(), terms).map_err(|error| self.failed(&error))
    }

    /// Leaves it as it was found.
    pub fn leave(self) {
        let Self { ctx, user, reference, top, .. } = self;
        drop(top);
        if reference.is_some() {
            drop(reference);
            // Whoever else has it open by now keeps it so.
            let _ = ctx.daemon.order("ReleaseHome", Order::Text(user));
        }
    }

    /// Copies all of it beside its place, and compares. What the copy could not be given, in words.
    pub fn copy(
        &self,
        note: &Released,
        terms: &Terms,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<String>, Failure> {
        let uid = self.top.metadata().map_err(|error| self.failed(&error))?.uid();
        self.refuse_in_use(uid)?;
        let before = self.measure_until(terms, stop)?;
        let to = File::open(&note.beside).map_err(|error| self.failed(&error))?;
        let copied = self.copied(&to, terms, before.allocated, stop)?;
        self.refuse_different(&to, terms, &copied, stop)?;
        if self.measure_until(terms, stop)?.state != before.state {
            return Err(Failure::say(format!(
                "{} was changed while it was copied. The home is as it was; run the same again.",
                self.folder.display()
            )));
        }
        self.refuse_in_use(uid)?;
        Ok(told(&copied))
    }

    fn copied(
        &self,
        to: &File,
        terms: &Terms,
        size: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<Copied, Failure> {
        let bar = bar(self.user, size);
        let mut progress = |progress: Progress<'_>| {
            bar.set_position(progress.bytes.min(size));
            if stop() { Continue::No } else { Continue::Yes }
        };
        let except = HOMEDS.map(OsStr::new);
        let copied = copytree::copy(Copy {
            from: self.top.as_fd(),
            to: to.as_fd(),
            except: &except,
            cross_mounts: false,
            terms: terms.clone(),
            progress: &mut progress,
        });
        bar.finish_and_clear();
        copied.map_err(|error| self.failed(&error))
    }

    fn refuse_different(
        &self,
        to: &File,
        terms: &Terms,
        copied: &Copied,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        let found = copytree::differences_until(stop, [self.top.as_fd(), to.as_fd()], terms, LOOKED_AT);
        let mut found = found.map_err(|error| self.failed(&error))?;
        found.retain(|difference| {
            !(is_homeds(difference) || copied.explains(difference) && is_small(difference))
        });
        if found.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = found.iter().take(NAMED).map(ToString::to_string).collect();
        Err(Failure::say(format!(
            "The copy is not the same as {}, and is not used; the home is as it was. Different are: {}.",
            self.folder.display(),
            named.join("; ")
        )))
    }

    fn refuse_in_use(&self, uid: u32) -> Result<(), Failure> {
        let running = around::processes(uid);
        match running.first() {
            None => Ok(()),
            Some(first) => Err(Failure::say(format!(
                "{} processes run as {}, who could change files while they are copied: {first}. Nothing was changed.",
                running.len(),
                self.user
            ))),
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::say(format!("{}: {error}. The home is as it was.", self.folder.display()))
    }
}

/// Makes the folder that a copy is made in, or finds it; its inode.
pub fn make_beside(folder: &Path) -> std::io::Result<u64> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let facts = folder.symlink_metadata()?;
    if !facts.is_dir() {
        return Err(std::io::Error::other("it is no folder"));
    }
    crate::classic::note::sync(folder.parent().unwrap_or(Path::new("/")))?;
    Ok(facts.ino())
}

/// Whether something is mounted at a folder.
pub fn is_mounted(folder: &Path) -> bool {
    around::mounts_in(folder).iter().any(|mount| mount == folder)
}

/// Its record and pictures are homed's, and no account's.
fn is_homeds(difference: &Difference) -> bool {
    let is_one = HOMEDS.iter().any(|name| difference.path == Path::new(name));
    is_one && difference.what == What::OnlyInFirst
}

/// A setting of a file system, which another one may not have.
fn is_small(difference: &Difference) -> bool {
    match &difference.what {
        What::Flags(..) => true,
        What::Attribute(name) => name.starts_with("btrfs."),
        _ => false,
    }
}

fn told(copied: &Copied) -> Vec<String> {
    let mut told = Vec::new();
    if copied.lost_count > 0 {
        let first = copied.lost.first().map(|lost| visible_path(&lost.path)).unwrap_or_default();
        told.push(format!(
            "{} flags of files (chattr), such as that of {first}, are not kept on this disk.",
            copied.lost_count
        ));
    }
    told
}

fn bar(user: &str, size: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    // The template is ours, so it is one.
    if let Ok(style) =
        ProgressStyle::with_template("{prefix} {bar:30} {binary_bytes}/{binary_total_bytes}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.set_prefix(user.to_owned());
    bar
}
