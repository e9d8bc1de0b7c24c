//! What has arrived is put in its places: each is exchanged with what is there, which must stand as it did when it was looked at.

use crate::content::{Taken, copy_content};
use crate::home::{give, is_in_use, keep_acl, look, look_at, open_file, set_time, stamp};
use crate::journal::{self, By, Entry};
use crate::node::{Content, Node, Path, split};
use crate::orders::Order;
use crate::scan::is_fresh;
use crate::store::part;
use crate::tree::{Seen, Stamp, Tree};
use crate::wire::Failure;
use crate::{Event, Watch};
use rustix::fs::{AtFlags, Mode, RenameFlags, mkdirat, renameat_with, symlinkat, unlinkat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// Why something was not done; it is tried again by the next sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It was changed since it was looked at, or something is in its place.
    Changed,
    /// A program writes to it.
    InUse,
    /// What is in it changed at the other end meanwhile.
    ChangedThere,
    /// There is no room for it here.
    NoRoom,
    /// The kernel says no, and why.
    Refused(String),
    /// The other end could not do it.
    There,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub undone: HashMap<Path, Reason>,
    /// How files stand that were put in place.
    pub stamps: HashMap<Path, Stamp>,
    /// Where something was kept that was changed while it was exchanged.
    pub kept: Vec<Path>,
}

/// At work.
struct Work<'a> {
    by: &'a By<'a>,
    tree: &'a Tree,
    orders: &'a [Order],
    /// How often what has arrived is still needed.
    uses: HashMap<Content, usize>,
    done: Done,
}

/// Does all orders.
pub(crate) fn place(
    by: &By<'_>,
    tree: &Tree,
    orders: &[Order],
    taken: &Taken,
    watch: Watch<'_>,
) -> Result<Done, Failure> {
    let mut work = Work { by, tree, orders, uses: HashMap::new(), done: Done::default() };
    work.count(taken);
    let entries = work.prepare(watch)?;
    if !entries.is_empty() {
        journal::begin(by.store, &entries)?;
    }
    work.all(watch, Work::clear, true)?;
    work.all(watch, Work::folder, false)?;
    work.all(watch, Work::file, false)?;
    work.all(watch, Work::finish, true)?;
    watch(Event::Step)?;
    work.done.kept = journal::end(by, &entries)?;
    watch(Event::Step)?;
    Ok(work.done)
}

/// What it is, said of an error.
fn reason(errno: Errno) -> Reason {
    match errno {
        Errno::EXIST | Errno::NOTEMPTY | Errno::NOENT | Errno::NOTDIR | Errno::ISDIR => Reason::Changed,
        Errno::NOSPC | Errno::DQUOT => Reason::NoRoom,
        errno => Reason::Refused(std::io::Error::from(errno).to_string()),
    }
}

impl Work<'_> {
    /// Does one step of each order that was not given up.
    fn all(
        &mut self,
        watch: Watch<'_>,
        step: fn(&mut Self, usize) -> Result<(), Reason>,
        backwards: bool,
    ) -> Result<(), Failure> {
        for at in 0..self.orders.len() {
            let index = if backwards { self.orders.len() - 1 - at } else { at };
            let path = &self.orders[index].path;
            if self.done.undone.contains_key(path) {
                continue;
            }
            watch(Event::Step)?;
            if let Err(reason) = step(self, index) {
                self.done.undone.insert(path.clone(), reason);
            }
        }
        Ok(())
    }

    fn now(&self, path: &[u8]) -> Option<&Node> {
        self.tree.get(path).and_then(Seen::node)
    }

    /// Whether what is there becomes another file, link or folder, or nothing; else it only gets another dress.
    fn is_replaced(&self, order: &Order) -> bool {
        match (self.now(&order.path), &order.want) {
            (Some(Node::Folder(_)), Some(Node::Folder(_))) => false,
            (Some(Node::File(now)), Some(Node::File(want))) => now.content != want.content,
            (now, want) => now != want.as_ref(),
        }
    }

    fn count(&mut self, taken: &Taken) {
        for order in self.orders {
            let Some(content) = order.want.as_ref().and_then(Node::content) else { continue };
            if taken.no_room.contains(&content) {
                self.done.undone.insert(order.path.clone(), Reason::NoRoom);
            } else if taken.missing.contains(&content) {
                self.done.undone.insert(order.path.clone(), Reason::ChangedThere);
            } else if self.is_replaced(order) {
                *self.uses.entry(content).or_default() += 1;
            }
        }
    }

    /// Makes in `swap` what is to be put in its place, and says what will be exchanged.
    fn prepare(&mut self, watch: Watch<'_>) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::new();
        for (index, order) in self.orders.iter().enumerate() {
            if self.done.undone.contains_key(&order.path) || !self.is_replaced(order) {
                continue;
            }
            watch(Event::Step)?;
            // There are no more paths than fit.
            let number = index as u32;
            let made = match &order.want {
                Some(Node::Link(leads_to)) => {
                    symlinkat(&**leads_to, &self.by.store.swap, number.to_string()).map_err(reason)
                }
                Some(Node::File(_)) => self.make(order, number),
                Some(Node::Folder(_)) | None => Ok(()),
            };
            if let Err(reason) = made {
                self.done.undone.insert(order.path.clone(), reason);
                continue;
            }
            let of_file = |node: Option<&Node>| node.filter(|node| !node.is_folder()).cloned();
            let seen = self.tree.get(&order.path);
            entries.push(Entry {
                number,
                path: order.path.clone(),
                old: of_file(self.now(&order.path)),
                new: of_file(order.want.as_ref()),
                keep: order.keep.clone(),
                stamp: seen.filter(|seen| seen.lasts).and_then(|seen| seen.stamp),
            });
        }
        Ok(entries)
    }

    fn make(&mut self, order: &Order, number: u32) -> Result<(), Reason> {
        let Some(Node::File(wanted)) = &order.want else { return Ok(()) };
        let (store, name) = (self.by.store, number.to_string());
        let part = part(&wanted.content.hash);
        let left = self.uses.entry(wanted.content).or_default();
        *left = left.saturating_sub(1);
        if *left == 0 {
            renameat_with(&store.part, &*part, &store.swap, &*name, RenameFlags::NOREPLACE)
                .map_err(reason)?;
        } else {
            let from = open_file(store.part.as_fd(), part.as_bytes()).map(File::from).map_err(reason)?;
            let refused = |error: std::io::Error| Reason::Refused(error.to_string());
            let to = crate::store::make(&store.swap, &name).map_err(|f| Reason::Refused(f.to_string()))?;
            copy_content(&from, &to).map_err(refused)?;
        }
        let file = open_file(store.swap.as_fd(), name.as_bytes()).map_err(reason)?;
        if self.now(&order.path).and_then(Node::content).is_some()
            && let Ok(there) = self.by.home.file(&order.path)
        {
            keep_acl(&there, &file).map_err(reason)?;
        }
        give(&file, &wanted.dress).and_then(|()| set_time(&file, wanted.modified)).map_err(reason)
    }

    /// The folder of a path, open, if what is under the name there stands as it did.
    fn unchanged<'p>(&self, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8]), Reason> {
        let (folder, name) = split(path);
        let folder = self.by.home.folder(folder).map_err(reason)?;
        let now = look(folder.as_fd(), name).map_err(reason)?;
        if self.tree.get(path).and_then(|seen| seen.stamp) != Some(stamp(&now)) {
            return Err(Reason::Changed);
        }
        if self.now(path).and_then(Node::content).is_some() {
            let file = open_file(folder.as_fd(), name).map_err(reason)?;
            if is_in_use(&file) {
                return Err(Reason::InUse);
            }
        }
        Ok((folder, name))
    }

    /// Takes away what is in the way, the last path first: a folder when nothing is in it any more.
    fn clear(&mut self, index: usize) -> Result<(), Reason> {
        let order = &self.orders[index];
        let is_folder = |node: Option<&Node>| node.is_some_and(Node::is_folder);
        let now = self.now(&order.path);
        if is_folder(now) && !is_folder(order.want.as_ref()) {
            let (folder, name) = split(&order.path);
            let folder = self.by.home.folder(folder).map_err(reason)?;
            return unlinkat(&folder, name, AtFlags::REMOVEDIR).map_err(reason);
        }
        let goes = order.want.is_none() || is_folder(order.want.as_ref());
        if now.is_some_and(|now| !now.is_folder()) && goes {
            let (folder, name) = self.unchanged(&order.path)?;
            let number = index.to_string();
            renameat_with(&folder, name, &self.by.store.swap, &*number, RenameFlags::NOREPLACE)
                .map_err(reason)?;
        }
        Ok(())
    }

    fn folder(&mut self, index: usize) -> Result<(), Reason> {
        let order = &self.orders[index];
        if !order.want.as_ref().is_some_and(Node::is_folder)
            || self.now(&order.path).is_some_and(Node::is_folder)
        {
            return Ok(());
        }
        let (folder, name) = split(&order.path);
        let folder = self.by.home.folder(folder).map_err(reason)?;
        mkdirat(&folder, name, Mode::RWXU).map_err(reason)
    }

    fn file(&mut self, index: usize) -> Result<(), Reason> {
        let order = &self.orders[index];
        let Some(want) = order.want.as_ref().filter(|want| !want.is_folder()) else { return Ok(()) };
        if !self.is_replaced(order) {
            return self.dress_again(order, want);
        }
        let swap = &self.by.store.swap;
        let number = index.to_string();
        let (folder, name) = match self.now(&order.path) {
            Some(now) if !now.is_folder() => {
                let (folder, name) = self.unchanged(&order.path)?;
                renameat_with(swap, &*number, &folder, name, RenameFlags::EXCHANGE).map_err(reason)?;
                (folder, name)
            }
            _ => {
                let (folder, name) = split(&order.path);
                let folder = self.by.home.folder(folder).map_err(reason)?;
                renameat_with(swap, &*number, &folder, name, RenameFlags::NOREPLACE).map_err(reason)?;
                (folder, name)
            }
        };
        self.note(order, (&folder, name));
        Ok(())
    }

    /// The content is the same.
    fn dress_again(&mut self, order: &Order, want: &Node) -> Result<(), Reason> {
        let Node::File(want) = want else { return Ok(()) };
        let (folder, name) = self.unchanged(&order.path)?;
        let file = open_file(folder.as_fd(), name).map_err(reason)?;
        let stands = || look_at(&file).map(|look| stamp(&look)).map(|stamp| (stamp.size, stamp.modified));
        let before = stands().map_err(reason)?;
        give(&file, &want.dress).map_err(reason)?;
        // Its time is what tells that somebody has written to it: that is not taken away from who is at it.
        if stands().map_err(reason)? == before && !is_in_use(&file) {
            set_time(&file, want.modified).map_err(reason)?;
        }
        // How it stands now is not noted: it is read once more.
        Ok(())
    }

    /// Notes how it stands now, if nobody has written to it since.
    fn note(&mut self, order: &Order, (folder, name): (&OwnedFd, &[u8])) {
        let Some(Node::File(want)) = &order.want else { return };
        let now = look(folder.as_fd(), name).map(|look| stamp(&look));
        if let Ok(now) = now
            && (now.size, now.modified) == (want.content.size, want.modified)
            && !is_fresh(&now)
        {
            self.done.stamps.insert(order.path.clone(), now);
        }
    }

    /// Folders get their dress when all is in them, the last path first.
    fn finish(&mut self, index: usize) -> Result<(), Reason> {
        let order = &self.orders[index];
        let Some(Node::Folder(dress)) = &order.want else { return Ok(()) };
        let folder = self.by.home.folder(&order.path).map_err(reason)?;
        look_at(&folder).and_then(|_| give(&folder, dress)).map_err(reason)
    }
}
