//! An image that arrives: beside its place until it is whole and on disk.

use super::identity::Identity;
use super::image::{Image, Older, is_at, locked, open_locked, sync_folder};
use crate::bus::Failure;
use carry::{Source, Target};
use records::FullName;
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

/// An image on its way to its place.
pub struct Arriving {
    beside: PathBuf,
    place: PathBuf,
    image: Image,
    older: Option<Older>,
}

impl Arriving {
    /// Begins, or goes on where an earlier talk was cut. Nothing of what is in force is touched.
    pub fn begin(root: &Path, greeting: &carry::Greeting, replace: Replace) -> Result<Self, Failure> {
        let name = FullName::parse(&greeting.name)
            .map_err(|_| Failure::say("The name that comes with it cannot be that of a home"))?;
        let place = super::place(root, &name);
        let older = older(&place, &name, replace)?;
        let beside = root.join(format!(".#carried-{name}.home"));
        let failed = |error: io::Error| Failure::say(format!("{}: {error}", beside.display()));
        let file = open_locked(&beside, || open_beside(&beside)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Failure::say(format!("The home of {name} is arriving already")),
            _ => failed(error),
        })?;
        file.set_len(greeting.size).map_err(failed)?;
        Ok(Self { beside, place, image: Image(file), older })
    }

    /// Where it is written, and an older copy that has some of it.
    pub fn ends(&mut self) -> (&mut dyn Target, Option<&dyn Source>) {
        (&mut self.image, self.older.as_ref().map(|older| older as &dyn Source))
    }

    /// It is whole: on disk, then at its place. From then on homed may open it. Its path.
    pub fn put_in_place(self) -> Result<PathBuf, Failure> {
        let failed = |error: io::Error| Failure::say(format!("{}: {error}", self.place.display()));
        self.image.0.sync_all().map_err(failed)?;
        match &self.older {
            None => {
                let cwd = rustix::fs::CWD;
                let named =
                    rustix::fs::renameat_with(cwd, &self.beside, cwd, &self.place, RenameFlags::NOREPLACE);
                named.map_err(|error| failed(error.into()))?;
            }
            Some(older) => {
                self.is_the_same_home_as(&older.0)?;
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

    /// Refuses another home than the one whose place it would take: the name in the greeting may be anything.
    fn is_the_same_home_as(&self, older: &File) -> Result<(), Failure> {
        let (new, old) = (Identity::of(&self.image.0), Identity::of(older));
        let luks = |identity: &Option<Identity>| identity.as_ref().map(|identity| identity.luks.clone());
        if new.is_some() && luks(&new) == luks(&old) {
            return Ok(());
        }
        let told =
            |identity: Option<Identity>| identity.map_or("no home that is known".into(), |it| it.told());
        let place = self.place.display();
        Err(Failure::say(format!(
            "What arrived is another home ({}) than the one at {place} ({}), which was left as it is. To have it all the \
             same, take that one away (mv {place} {place}.old) and run this again; what has arrived is kept in {}",
            told(new),
            told(old),
            self.beside.display()
        )))
    }
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
fn older(place: &Path, name: &FullName, replace: Replace) -> Result<Option<Older>, Failure> {
    match place.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::say(format!("{}: {error}", place.display()))),
        Ok(_) if replace == Replace::No => Err(Failure::say(format!(
            "{} is there already, and was left alone. To make it what is sent, and lose what was changed in it: --replace",
            place.display()
        ))),
        Ok(_) => locked(place, &name.user.to_string()).map(|file| Some(Older(file))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carried::identity::made;
    use carry::{Greeting, Parcel, Peer, receive, send};

    const ONE: &str = "11111111-8d3e-4f2a-9b7c-1d2e3f4a5b6c";
    const OTHER: &str = "22222222-8d3e-4f2a-9b7c-1d2e3f4a5b6c";

    fn stream(bytes: &[u8], root: &Path) -> Vec<u8> {
        let path = root.join("source");
        std::fs::write(&path, bytes).expect("written");
        let source = super::super::Leaving::open(&path, "alice").expect("opened");
        let greeting = Greeting { name: "alice".into(), size: source.size };
        let mut stream = Vec::new();
        let parcel = Parcel { source: source.source(), greeting: &greeting };
        send(parcel, &mut stream, Peer::None, &mut |_| ()).expect("sent");
        stream
    }

    fn take(stream: &[u8], root: &Path, replace: Replace) -> Result<PathBuf, Failure> {
        let mut line = stream;
        let offer = receive(&mut line, None).map_err(|error| Failure::say(error.to_string()))?;
        let mut arriving = Arriving::begin(root, offer.greeting(), replace)?;
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
        let user = locked(&place, "alice").expect("locked");
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
        for strange in [made("bob", OTHER), made("alice", OTHER), damaged, vec![1; 5000]] {
            let said = take(&stream(&strange, folder.path()), &root, Replace::Yes);
            let Err(Failure::Other(said)) = said else { panic!("replaced") };
            assert!(said.contains("another home") && said.contains(ONE), "{said}");
            assert_eq!(std::fs::read(&place).expect("read"), own);
        }
        let said = take(&stream(&made("bob", OTHER), folder.path()), &root, Replace::Yes);
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
    fn names_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        for name in ["../etc/x", "", "root/", ".#x", "a b", "alice\n"] {
            let greeting = Greeting { name: name.into(), size: 5 };
            assert!(Arriving::begin(root, &greeting, Replace::Yes).is_err(), "{name:?}");
        }
        std::fs::write(root.join("victim"), "precious").expect("written");
        let greeting = Greeting { name: "alice".into(), size: 5 };
        std::os::unix::fs::symlink(root.join("victim"), root.join(".#carried-alice.home")).expect("linked");
        assert!(Arriving::begin(root, &greeting, Replace::No).is_err());
        std::fs::remove_file(root.join(".#carried-alice.home")).expect("removed");
        std::fs::hard_link(root.join("victim"), root.join(".#carried-alice.home")).expect("linked");
        assert!(Arriving::begin(root, &greeting, Replace::No).is_err());
        std::fs::remove_file(root.join(".#carried-alice.home")).expect("removed");
        std::os::unix::fs::symlink(root.join("victim"), root.join("alice.home")).expect("linked");
        assert!(Arriving::begin(root, &greeting, Replace::Yes).is_err());
        assert_eq!(std::fs::read(root.join("victim")).expect("read"), b"precious");
    }
}
