//! What stands of one home, and what of it a power cut loses.

/// Which home it is: a name may have one after the other.
pub type Home = u32;

/// Something on disk: what is there for certain, and what is seen until the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry<T> {
    seen: T,
    safe: T,
}

impl<T: Copy> Entry<T> {
    /// There for certain.
    pub fn new(value: T) -> Self {
        Self { seen: value, safe: value }
    }

    /// What whoever looks sees.
    pub fn get(&self) -> T {
        self.seen
    }

    /// Changes it, until the power fails.
    pub fn set(&mut self, value: T) {
        self.seen = value;
    }

    /// For certain.
    pub fn flush(&mut self) {
        self.safe = self.seen;
    }

    fn lose(&mut self) {
        self.seen = self.safe;
    }
}

/// What a repair has kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// Nothing.
    None,
    /// A part of it, under its name.
    Half,
    /// All of it, under its name.
    Whole,
}

/// Where the storage is to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Folder {
    /// Where homes are looked for.
    HomeRoot,
    /// Elsewhere: the host's record alone tells.
    Elsewhere,
}

/// What stands, and what was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    pub folder: Folder,
    /// Whether files can be made without a name, and go with the process.
    pub nameless: bool,
    pub storage: Entry<Option<Home>>,
    /// Storage that is not whole.
    pub unfinished: Entry<bool>,
    pub record: Entry<Option<Home>>,
    /// The pictures on this machine, and whose.
    pub pictures: Entry<Option<Home>>,
    /// Pictures that a run has taken on.
    pub waiting: Entry<Option<Home>>,
    pub kept: Entry<Kept>,
    /// What was to be kept, under no name yet.
    pub unnamed: Entry<bool>,
    pub mount_point: Entry<bool>,
    /// Another program has removed a home: what repairs have kept of it, it does not know.
    pub others_removed: bool,
    /// Homes so far.
    pub count: Home,
    /// The home that its user was told of, and that nobody has begun to remove.
    pub promised: Option<Home>,
    /// The home that its user was told of last.
    pub told: Option<Home>,
}

impl World {
    /// Nothing is there.
    pub fn new(folder: Folder, nameless: bool) -> Self {
        Self {
            folder,
            nameless,
            storage: Entry::new(None),
            unfinished: Entry::new(false),
            record: Entry::new(None),
            pictures: Entry::new(None),
            waiting: Entry::new(None),
            kept: Entry::new(Kept::None),
            unnamed: Entry::new(false),
            mount_point: Entry::new(false),
            others_removed: false,
            count: 0,
            promised: None,
            told: None,
        }
    }

    /// What is in the state folder is on disk: a flush is one of a folder.
    pub fn flush_state(&mut self) {
        self.record.flush();
        self.kept.flush();
        self.unnamed.flush();
    }

    /// What is in the folder for pictures is.
    pub fn flush_pictures(&mut self) {
        self.pictures.flush();
        self.waiting.flush();
    }

    /// What is in the folder of the storage is.
    pub fn flush_storage(&mut self) {
        self.storage.flush();
        self.unfinished.flush();
    }

    /// The power fails.
    pub fn power_cut(&mut self) {
        self.storage.lose();
        self.unfinished.lose();
        self.record.lose();
        self.pictures.lose();
        self.waiting.lose();
        self.kept.lose();
        self.unnamed.lose();
        self.mount_point.lose();
    }

    /// Homes are told from each other, no more: the one there now is the first.
    pub fn forget_numbers(&mut self) {
        let mut known: Vec<Home> = Vec::new();
        let mut number = |home: &mut Option<Home>| {
            if let Some(home) = home {
                let place = known.iter().position(|one| one == home).unwrap_or(known.len());
                if place == known.len() {
                    known.push(*home);
                }
                *home = u32::try_from(place).unwrap_or_default() + 1;
            }
        };
        let entries = [&mut self.storage, &mut self.record, &mut self.pictures, &mut self.waiting];
        for entry in entries {
            number(&mut entry.seen);
            number(&mut entry.safe);
        }
        number(&mut self.promised);
        number(&mut self.told);
        self.count = u32::try_from(known.len()).unwrap_or_default();
    }

    /// What is left of it, in a word.
    pub fn left(&self) -> Option<&'static str> {
        let all = [
            (self.storage.get().is_some(), "the storage"),
            (self.unfinished.get(), "unfinished storage"),
            (self.record.get().is_some(), "the host's record"),
            (self.pictures.get().is_some(), "pictures"),
            (self.waiting.get().is_some(), "pictures that wait"),
            (self.kept.get() != Kept::None, "what a repair has kept"),
            (self.unnamed.get(), "a part of what was to be kept"),
            (self.mount_point.get(), "the mount point"),
        ];
        all.into_iter().find(|(is_there, _)| *is_there).map(|(_, name)| name)
    }

    /// Whether somebody knows of the home: by its record, or because it is where homes are looked for.
    pub fn is_known(&self) -> bool {
        let is_found = self.storage.get().is_some() && self.folder == Folder::HomeRoot;
        self.record.get().is_some() || is_found
    }
}
