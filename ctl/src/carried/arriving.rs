//! An image that arrives: beside its place until it is whole and on disk.

use super::identity::Identity;
use super::image::{Growing, Older, is_at, locked, open_locked, sync_folder};
use super::partial;
use crate::bus::Failure;
use crate::options::values::show_size;
use carry::{Greeting, Source, Target};
use records::{FullName, Machine};
use rustix::fs::{Mode, OFlags, RenameFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whether an image of that name may be written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It may not.
    No,
    /// It may: what was changed in it is lost.
    Yes,
}

/// Where homes arrive, and on which machine that is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The folder.
    pub root: &'a Path,
    /// The machine.
    pub machine: &'a Machine,
}

/// An image on its way to its place.
pub struct Arriving {
    beside: PathBuf,
    place: PathBuf,
    image: Growing,
    older: Option<Older>,
}

impl Arriving {
    /// Begins, or goes on where an earlier talk was cut. Nothing of what is in force is touched, and nothing is begun that
    /// could not end.
    pub fn begin(place: Place<'_>, greeting: &Greeting, replace: Replace) -> Result<Self, Failure> {
        let Place { root, machine } = place;
        let name = FullName::parse(&greeting.name)
            .map_err(|_| Failure::say("The name that comes with it cannot be that of a home"))?;
        let place = super::place(root, &name);
        let older = older(&place, &name, replace, machine)?;
        let beside = partial::beside(root, &name);
        if let Some(older) = older.as_ref().filter(|_| !greeting.luks.is_empty()) {
            let said = Identity { luks: greeting.luks.clone(), owner: Some(name.to_string()) };
            is_the_same_home(Some(said), Identity::of(&older.0), &place, &beside)?;
        }
        let arrived = partial::arrived(&beside);
        has_room(root, greeting, arrived)?;
        let failed = |error: io::Error| Failure::say(format!("{}: {error}", beside.display()));
        let file = open_locked(&beside, || open_beside(&beside)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Failure::say(format!("The home of {name} is arriving already")),
            _ => failed(error),
        })?;
        if let Some(older) = older.as_ref().filter(|_| partial::arrived(&beside) == 0) {
            // Where the file system can, they share their blocks (btrfs, xfs), and what is the same is not written again.
            let _ = rustix::fs::ioctl_ficlone(&file, &older.0);
        }
        file.set_len(greeting.size).map_err(failed)?;
        let image = Growing::new(file, greeting.content.saturating_sub(arrived));
        Ok(Self { beside, place, image, older })
    }

    /// Where it is written, and an older copy that has some of it.
    pub fn ends(&mut self) -> (&mut dyn Target, Option<&dyn Source>) {
        (&mut self.image, self.older.as_ref().map(|older| older as &dyn Source))
    }

    /// It is whole: on disk, then at its place. From then on homed may open it. Its path.
    pub fn put_in_place(self) -> Result<PathBuf, Failure> {
        let failed = |error: io::Error| Failure::say(format!("{}: {error}", self.place.display()));
        self.image.file().sync_all().map_err(failed)?;
        match &self.older {
            None => {
                let cwd = rustix::fs::CWD;
                let named =
                    rustix::fs::renameat_with(cwd, &self.beside, cwd, &self.place, RenameFlags::NOREPLACE);
                named.map_err(|error| failed(error.into()))?;
            }
            Some(older) => {
                let (new, old) = (Identity::of(self.image.file()), Identity::of(&older.0));
                is_the_same_home(new, old, &self.place, &self.beside)?;
                if !is_at(&older.0, &self.place).map_err(failed)? {
                    return Err(Failure::say(format!("{} is another file now", self.place.display())));
                }
                std::fs::rename(&self.beside, &self.place).map_err(failed)?;
            }
        }
        sync_folder(&self.place).map_err(failed)?;
        Ok(self.place)
    }

    /// What it takes the place of.
    pub fn replaces(&self) -> Option<&Path> {
        self.older.as_ref().map(|_| self.place.as_path())
    }
}

/// Refuses another home than the one whose place it would take: the name in the greeting may be anything.
fn is_the_same_home(
    new: Option<Identity>,
    old: Option<Identity>,
    place: &Path,
    beside: &Path,
) -> Result<(), Failure> {
    let luks = |identity: &Option<Identity>| identity.as_ref().map(|identity| identity.luks.clone());
    if new.is_some() && luks(&new) == luks(&old) {
        return Ok(());
    }
    let told = |identity: Option<Identity>| identity.map_or("no home that is known".into(), |it| it.told());
    let kept = match partial::arrived(beside) {
        0 => String::new(),
        _ => format!("; what has arrived is kept in {}", beside.display()),
    };
    let place = place.display();
    Err(Failure::say(format!(
        "What arrives is another home ({}) than the one at {place} ({}), which was left as it is. To have it all the same, \
         take that one away (mv {place} {place}.old) and run this again{kept}",
        told(new),
        told(old)
    )))
}

/// Refuses what the disk has no room for, before any of it is written.
fn has_room(root: &Path, greeting: &Greeting, arrived: u64) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| Failure::say(format!("{}: {error}", root.display()));
    let disk = rustix::fs::statvfs(root).map_err(failed)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let wanted = greeting.content.saturating_sub(arrived);
    if wanted <= free {
        return Ok(());
    }
    let there = if arrived == 0 { String::new() } else { format!(", {} of it is here", show_size(arrived)) };
    Err(Failure::say(format!(
        "The home of {} takes {}{there}, and {} is free in {}: {} more is needed. Nothing was changed",
        greeting.name,
        show_size(greeting.content),
        show_size(free),
        root.display(),
        show_size(wanted - free)
    )))
}

/// What a home arrives in, made if it is not there.
fn open_beside(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?);
    let facts = file.metadata()?;
    // No name: another end has put it in place, or removed it, since.
    let is_ours = facts.is_file() && facts.nlink() <= 1 && facts.uid() == rustix::process::geteuid().as_raw();
    if !is_ours {
        return Err(io::Error::other("this is not what a home arrives in; remove it"));
    }
    Ok(file)
}

/// The image that is at the place already, locked: nobody opens it meanwhile.
fn older(
    place: &Path,
    name: &FullName,
    replace: Replace,
    machine: &Machine,
) -> Result<Option<Older>, Failure> {
    match place.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::say(format!("{}: {error}", place.display()))),
        Ok(_) if replace == Replace::No => Err(Failure::say(format!(
            "{} is there already, and was left alone. To make it what is sent, and lose what was changed in it: --replace",
            place.display()
        ))),
        Ok(_) => locked(place, &name.user.to_string(), machine).map(|file| Some(Older(file))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carried::identity::made;
    use carry::{Parcel, Peer, receive, send};
    use records::opener::Opener;
    use records::{HostName, MachineId};

    const ONE: &str = "11111111-8d3e-4f2a-9b7c-1d2e3f4a5b6c";
    const OTHER: &str = "22222222-8d3e-4f2a-9b7c-1d2e3f4a5b6c";

    fn machine(digit: &str) -> Machine {
        let id = MachineId::parse(&digit.repeat(32)).expect("an id");
        Machine { id, host: HostName("box".into()) }
    }

    fn begin(root: &Path, greeting: &Greeting, replace: Replace) -> Result<Arriving, Failure> {
        Arriving::begin(Place { root, machine: &machine("1") }, greeting, replace)
    }

    /// As it is sent; `is_honest`: the greeting says which home it is.
    fn stream_of(bytes: &[u8], root: &Path, is_honest: bool) -> Vec<u8> {
        let path = root.join("source");
        std::fs::write(&path, bytes).expect("written");
        let source = super::super::Leaving::open(&path, "alice", &machine("1")).expect("opened");
        let luks = source.identity().filter(|_| is_honest).map(|identity| identity.luks).unwrap_or_default();
        let greeting = Greeting { name: "alice".into(), size: source.size, content: source.content(), luks };
        let mut stream = Vec::new();
        let parcel = Parcel { source: source.source(), greeting: &greeting };
        send(parcel, &mut stream, Peer::None, &mut |_| ()).expect("sent");
        stream
    }

    fn stream(bytes: &[u8], root: &Path) -> Vec<u8> {
        stream_of(bytes, root, true)
    }

    fn take(stream: &[u8], root: &Path, replace: Replace) -> Result<PathBuf, Failure> {
        let mut line = stream;
        let offer = receive(&mut line, None).map_err(|error| Failure::say(error.to_string()))?;
        let mut arriving = begin(root, offer.greeting(), replace)?;
        let (target, older) = arriving.ends();
        offer.accept(target, older, &mut |_| ()).map_err(|error| Failure::say(error.to_string()))?;
        arriving.put_in_place()
    }

    #[test]
    fn an_image_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path().join("home");
        std::fs::create_dir(&root).expect("made");
        let mut bytes = made("alice", ONE);
        bytes[4096..104_096].fill(7);
        bytes[104_096..1 << 20].fill(0);
        bytes.resize(3_000_000, 0);
        bytes.extend([9; 5]);
        let whole = stream(&bytes, folder.path());
        for cut in [0, 20, 5_000, 60_000, whole.len() - 1] {
            assert!(take(&whole[..cut], &root, Replace::No).is_err());
            assert!(!root.join("alice.home").exists(), "cut after {cut}");
        }
        let place = take(&whole, &root, Replace::No).expect("arrived");
        assert_eq!(std::fs::read(&place).expect("read"), bytes);
        let facts = place.metadata().expect("there");
        assert_eq!(
            (facts.mode() & 0o777, facts.blocks() * 512 < 1_000_000),
            (0o600, true),
            "holes stay holes"
        );
        assert_eq!(std::fs::read_dir(&root).expect("read").count(), 1, "nothing is left beside it");
        // What is there stays, unless it is to be replaced; in use it stays in any case.
        bytes[9000] = 1;
        let newer = stream(&bytes, folder.path());
        assert!(take(&newer, &root, Replace::No).is_err());
        let user = locked(&place, "alice", &machine("1")).expect("locked");
        assert!(take(&newer, &root, Replace::Yes).is_err());
        drop(user);
        take(&newer, &root, Replace::Yes).expect("replaced");
        assert_eq!(std::fs::read(&place).expect("read"), bytes);
    }

    /// Whatever name a stream says: one home does not take another's place.
    #[test]
    fn another_home_replaces_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path().join("home");
        std::fs::create_dir(&root).expect("made");
        let own = made("alice", ONE);
        let place = take(&stream(&own, folder.path()), &root, Replace::No).expect("arrived");
        let mut damaged = own.clone();
        damaged[1 << 20] = 0;
        let beside = root.join(".#carried-alice.home");
        for strange in [made("bob", OTHER), made("alice", OTHER)] {
            // The greeting says it: nothing is taken of it.
            let said = take(&stream(&strange, folder.path()), &root, Replace::Yes);
            let Err(Failure::Other(said)) = said else { panic!("replaced") };
            assert!(said.contains("another home") && said.contains(ONE) && !said.contains("kept"), "{said}");
            assert!(!beside.exists(), "some of it was taken");
        }
        for strange in [made("bob", OTHER), made("alice", OTHER), damaged, vec![1; 5000]] {
            // It does not, or lies: it is seen once it is there.
            let said = take(&stream_of(&strange, folder.path(), false), &root, Replace::Yes);
            let Err(Failure::Other(said)) = said else { panic!("replaced") };
            assert!(said.contains("another home") && said.contains(ONE) && said.contains("kept"), "{said}");
            assert_eq!(std::fs::read(&place).expect("read"), own);
        }
        let said = take(&stream_of(&made("bob", OTHER), folder.path(), false), &root, Replace::Yes);
        let Err(Failure::Other(said)) = said else { panic!("replaced") };
        assert!(said.contains("the home of bob"), "{said}");
        std::fs::rename(&place, root.join("alice.home.old")).expect("renamed");
        take(&stream(&made("bob", OTHER), folder.path()), &root, Replace::No).expect("there is room now");
        // Nor is one replaced of which nobody knows whose it is.
        std::fs::write(&place, "?").expect("written");
        assert!(take(&stream(&own, folder.path()), &root, Replace::Yes).is_err());
        assert_eq!(std::fs::read(&place).expect("read"), b"?");
    }

    #[test]
    fn what_the_disk_has_no_room_for_is_refused_before_it_comes() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        let size = carry::LARGEST;
        let greeting = Greeting { name: "alice".into(), size, content: size, luks: String::new() };
        let Err(Failure::Other(said)) = begin(root, &greeting, Replace::No) else { panic!("it has room") };
        assert!(said.contains("takes 5T, and") && said.contains("more is needed"), "{said}");
        assert_eq!(std::fs::read_dir(root).expect("read").count(), 0, "nothing is left of it");
        // What is here already needs no room, and holes need none.
        assert!(has_room(root, &greeting, size).is_ok());
        assert!(has_room(root, &Greeting { content: 0, ..greeting }, 0).is_ok());
    }

    /// Where another machine does not see the lock, the mark inside tells.
    #[test]
    fn what_is_open_elsewhere_is_neither_sent_nor_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let (root, path) = (folder.path(), folder.path().join("alice.home"));
        let mut bytes = made("alice", ONE);
        let at = (1 << 20) - 4096;
        bytes[at..at + 512].copy_from_slice(&Opener::this(&machine("2"), "", 0).sector());
        std::fs::write(&path, &bytes).expect("written");
        let leaves = |machine: &Machine| super::super::Leaving::open(&path, "alice", machine).map(drop);
        let Err(Failure::Other(said)) = leaves(&machine("1")) else { panic!("sent") };
        assert!(said.contains("Another machine has") && said.contains("box, since"), "{said}");
        let Err(Failure::Other(said)) = leaves(&machine("2")) else { panic!("sent") };
        assert!(said.contains("was cut off") && said.contains("homectl with alice"), "{said}");
        let greeting = Greeting { name: "alice".into(), size: 5, content: 5, luks: ONE.into() };
        let Err(Failure::Other(said)) = begin(root, &greeting, Replace::Yes) else { panic!("replaced") };
        assert!(said.contains("Another machine has"), "{said}");
    }

    #[test]
    fn names_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        let greeting = Greeting { name: "alice".into(), size: 5, content: 5, luks: String::new() };
        for name in ["../etc/x", "", "root/", ".#x", "a b", "alice\n"] {
            let greeting = Greeting { name: name.into(), ..greeting.clone() };
            assert!(begin(root, &greeting, Replace::Yes).is_err(), "{name:?}");
        }
        std::fs::write(root.join("victim"), "precious").expect("written");
        std::os::unix::fs::symlink(root.join("victim"), root.join(".#carried-alice.home")).expect("linked");
        assert!(begin(root, &greeting, Replace::No).is_err());
        std::fs::remove_file(root.join(".#carried-alice.home")).expect("removed");
        std::fs::hard_link(root.join("victim"), root.join(".#carried-alice.home")).expect("linked");
        assert!(begin(root, &greeting, Replace::No).is_err());
        std::fs::remove_file(root.join(".#carried-alice.home")).expect("removed");
        std::os::unix::fs::symlink(root.join("victim"), root.join("alice.home")).expect("linked");
        assert!(begin(root, &greeting, Replace::Yes).is_err());
        assert_eq!(std::fs::read(root.join("victim")).expect("read"), b"precious");
    }
}
