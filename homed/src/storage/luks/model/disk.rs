//! What is on disk, and what of it a power cut loses.

use crate::storage::luks::plan::keys::{Claim, Digest, Priority, Salt, Slot, Standing};
use crate::storage::luks::plan::without::{Mend, has};
use records::reconcile::{Choice, Dated, Rule, by_date};
use records::refusal::Refused;

/// A key somebody knows.
pub type Key = u32;

/// The recovery key of every home here.
pub const RECOVERY: Key = 1 << 30;
/// Keys from here on are of other programs.
pub const STRANGER: Key = 1 << 31;

/// A copy of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// `lastChangeUSec`.
    pub date: u32,
    /// Which hashes it has: hashed again, a password has another one.
    pub hashes: u32,
    /// Its password.
    pub password: Key,
    /// Whether it has the recovery key.
    pub recovery: bool,
    /// What its token answers, of whatever kind that is: a security key, a smart card, a TPM.
    pub token: Option<Key>,
}

impl Record {
    /// Whether a key is the record's.
    pub fn has(&self, key: Key) -> bool {
        key == self.password || (key == RECOVERY && self.recovery) || self.token == Some(key)
    }

    /// How many keys it has.
    pub fn count(&self) -> usize {
        1 + usize::from(self.recovery) + usize::from(self.token.is_some())
    }

    /// What the plan knows its keys by.
    pub fn digest(&self) -> Digest {
        let told = if has(Mend::Digest) { self.hashes } else { self.date };
        let token = self.token.filter(|_| has(Mend::AllKinds));
        Digest(format!("{told} {token:?}").into())
    }
}

impl Dated for Record {
    fn choose(&self, other: &Self, rule: Rule) -> Result<Choice, Refused> {
        by_date([self.date.into(), other.date.into()], || self == other, rule)
    }
}

/// A key slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySlot {
    /// Its number.
    pub number: u32,
    /// Its salt.
    pub salt: u32,
    /// What opens it; `None`: its key material is wiped already.
    pub key: Option<Key>,
    /// Its priority.
    pub priority: Priority,
    /// Whether a token of somebody else refers to it.
    pub claim: Claim,
}

/// The header. The library writes two copies one after the other, so a cut within leaves the state before or after.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Header {
    /// Its slots, by number.
    pub slots: Vec<KeySlot>,
    /// Marks.
    pub marks: Vec<Standing>,
    /// Its record.
    pub record: Option<Record>,
}

impl Header {
    /// The first slot that a key opens.
    pub fn opened_by(&self, key: Key) -> Option<u32> {
        self.slots.iter().find(|slot| slot.key == Some(key)).map(|slot| slot.number)
    }

    /// A slot more.
    pub fn add(&mut self, number: u32, salt: u32, key: Key) {
        let (priority, claim) = (Priority::Normal, Claim::None);
        self.slots.push(KeySlot { number, salt, key: Some(key), priority, claim });
        self.slots.sort_by_key(|slot| slot.number);
    }

    /// The number that libcryptsetup takes where nobody names one.
    pub fn lowest_free(&self) -> u32 {
        (0..).find(|number| self.slots.iter().all(|slot| slot.number != *number)).unwrap_or(0)
    }

    /// The slots as a plan sees them.
    pub fn seen(&self) -> Vec<Slot> {
        let seen = |slot: &KeySlot| Slot {
            number: slot.number,
            salt: Salt(slot.salt.to_string().into()),
            priority: slot.priority,
            claim: slot.claim,
        };
        self.slots.iter().map(seen).collect()
    }
}

/// A file: what is on disk, and what was written since and not flushed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct File<T> {
    disk: T,
    cache: Option<T>,
}

impl<T> File<T> {
    /// With this on disk.
    pub fn new(disk: T) -> Self {
        Self { disk, cache: None }
    }

    /// What whoever reads it sees.
    pub fn read(&self) -> &T {
        self.cache.as_ref().unwrap_or(&self.disk)
    }

    /// What nothing takes away.
    pub fn on_disk(&self) -> &T {
        &self.disk
    }

    /// What is written may be lost.
    pub fn write(&mut self, content: T) {
        self.cache = Some(content);
    }

    /// Now it is on disk.
    pub fn flush(&mut self) {
        if let Some(content) = self.cache.take() {
            self.disk = content;
        }
    }

    /// The power fails.
    pub fn lose(&mut self) {
        self.cache = None;
    }
}

/// What a user was told, and what therefore must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Promise {
    /// The password that was confirmed last.
    pub confirmed: Key,
    /// Those of changes that were cut short since: one of them may be in force.
    pub pending: Vec<Key>,
    /// Those that must not open any slot.
    pub gone: Vec<Key>,
    /// Those that may nevertheless: they were not given, and slots of other programs look the same.
    pub untold: Vec<Key>,
    /// Whether the recovery key must open.
    pub recovery: bool,
    /// The token that must open.
    pub token: Option<Key>,
    /// Those that were to be enrolled: one of them may be in force.
    pub tokens: Vec<Key>,
    /// Slots of other programs that must be there: number and salt.
    pub strangers: Vec<(u32, u32)>,
    /// Whether another program was cut short in a change of keys: it leaves slots that nobody can tell from others.
    pub others_cut: bool,
    /// Whether it may take the old and the new password together since then.
    pub both: bool,
}

/// A home, and everything known of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The encryption header.
    pub header: File<Header>,
    /// `.identity`.
    pub home: File<Record>,
    /// The host's record.
    pub host: File<Record>,
    /// Random numbers and dates so far.
    pub count: u32,
    /// What must hold.
    pub promise: Promise,
    /// Whether tokens are enrolled and removed.
    pub enrols: bool,
}

impl World {
    /// A home as it is made, with slots of these numbers.
    pub fn new(recovery: bool, slots: [u32; 2]) -> Self {
        let record = Record { date: 1, hashes: 1, password: 0, recovery, token: None };
        let mut header = Header { record: Some(record), ..Header::default() };
        header.add(slots[0], 2, 0);
        if recovery {
            header.add(slots[1], 3, RECOVERY);
        }
        Self {
            header: File::new(header),
            home: File::new(record),
            host: File::new(record),
            count: 3,
            promise: Promise { recovery, ..Promise::default() },
            enrols: false,
        }
    }

    /// The same, whose user enrols and removes tokens; perhaps there is one with a slot of that number already.
    pub fn with_token(mut self, slot: Option<u32>) -> Self {
        self.enrols = true;
        let Some(slot) = slot else { return self };
        let (token, salt) = (self.next(), self.next());
        let (mut header, mut record) = (self.header.read().clone(), *self.host.read());
        record.token = Some(token);
        header.record = Some(record);
        header.add(slot, salt, token);
        (self.header, self.home, self.host) = (File::new(header), File::new(record), File::new(record));
        (self.promise.token, self.promise.tokens) = (Some(token), vec![token]);
        self
    }

    /// A number that was not there before.
    pub fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    /// A password that nobody had.
    pub fn new_password(&mut self) -> Key {
        self.next()
    }

    /// The power fails: what was not flushed is lost.
    pub fn power_cut(&mut self) {
        self.header.lose();
        self.home.lose();
        self.host.lose();
    }
}
