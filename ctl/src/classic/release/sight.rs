//! What a release would do and what is in its way: looked at before anything is done, told in words or as JSON.

mod told;
mod wrong;

use super::copying::Opened;
use super::note::{self, Released};
use super::{account, numbers};
use crate::bus::{Failure, HomeRow, Who};
use crate::classic::around::{self, Around};
use crate::classic::here::{RECORDS, is_known};
use crate::classic::lines::{Lines, Texts};
use crate::context::Context;
use copytree::{Maker, Measure, Terms};
use records::visible::visible_path;
use records::{Record, Sections, Settings};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a file system notes of each name, in bytes.
const PER_NAME: u64 = 2048;

/// All that is to be known before.
pub struct Sight {
    /// Whose home.
    pub user: String,
    /// Where it is mounted, and the account's folder will be.
    pub folder: PathBuf,
    /// Its storage.
    pub storage: PathBuf,
    /// What the account will be.
    pub lines: Lines,
    /// The groups that list the account then.
    member_of: Vec<String>,
    /// What is in the way, in sentences.
    pub wrong: Vec<String>,
    row: HomeRow,
    record: Record,
    settings: Settings,
    host: Map<String, Value>,
    /// The account's number; `None`: none is free.
    number: Option<u32>,
    measure: Measure,
    around: Around,
    needed: u64,
    free: u64,
    notes: Vec<String>,
}

impl Sight {
    /// Looks at a home, and not into it. An error: there is none that could be looked at.
    pub fn of(ctx: &Context<'_>, user: &str, texts: &Texts) -> Result<Self, Failure> {
        let unknown =
            || Failure::say(format!("There is no home of {user}. Nothing was changed. See: homectl list"));
        let row = ctx.daemon.homes()?.into_iter().find(|row| row.name == user).ok_or_else(unknown)?;
        let reply = ctx.daemon.record(Who::Name(user))?;
        let record = Record::parse(&reply.json, Sections::OWNER).map_err(|e| Failure::say(e.to_string()))?;
        let settings = record.of_home_on(&ctx.machine);
        let storage = settings.effective_image_path().map(PathBuf::from);
        let storage = storage.ok_or_else(|| {
            Failure::say(format!("The home of {user} is not on this machine. Nothing was changed."))
        })?;
        let folder = PathBuf::from(row.home.trim_end_matches('/'));
        let around = around::look(user, row.uid, &folder);
        let mut sight = Self {
            user: user.to_owned(),
            lines: account::lines(&record, &settings, (row.uid, &row.home), texts),
            member_of: Vec::new(),
            host: host_record(user)?,
            number: None,
            measure: Measure::default(),
            needed: 0,
            free: free_at(&folder),
            wrong: Vec::new(),
            notes: account::lost(&record, &settings, texts),
            folder,
            storage,
            row,
            record,
            settings,
            around,
        };
        sight.give_number(ctx, texts);
        sight.wrong = sight.wrong_before(ctx, texts);
        Ok(sight)
    }

    /// Looks into it, too.
    pub fn look_into(
        &mut self,
        ctx: &Context<'_>,
        texts: &Texts,
        home: &Opened<'_, '_>,
    ) -> Result<(), Failure> {
        self.measure = home.measure(&self.terms(texts))?;
        self.give_number(ctx, texts);
        let names = self.measure.entries.saturating_mul(PER_NAME);
        self.needed = self.measure.allocated.saturating_add(names);
        self.wrong.extend(self.wrong_inside());
        self.wrong.extend(self.wrong_room());
        self.notes.extend(self.remarks());
        Ok(())
    }

    /// The number it has if that is free and an account's, that of its record, or a new one.
    fn give_number(&mut self, ctx: &Context<'_>, texts: &Texts) {
        let range = numbers::range(&fs::read_to_string("/etc/login.defs").unwrap_or_default());
        let (own, owners) = (self.row.uid, &self.measure.owners);
        let mut given = texts.numbers();
        let homes = ctx.daemon.homes().unwrap_or_default();
        given.extend(homes.iter().filter(|home| home.name != self.user).map(|home| home.uid));
        let wishes: Vec<u32> = [Some(own), self.record_number()].into_iter().flatten().collect();
        // What belongs to somebody else in the home would be the account's.
        let is_free =
            |number: u32| (number == own || !owners.contains_key(&number)) && is_nobodys(number, &self.user);
        self.number = numbers::choose(&range, &wishes, &given, &is_free);
        if let Some(number) = self.number {
            self.lines = account::lines(&self.record, &self.settings, (number, &self.row.home), texts);
        }
        self.member_of = texts.groups_of(&self.user);
        self.member_of.extend(self.lines.member_of.iter().cloned());
        self.member_of.sort();
    }

    fn record_number(&self) -> Option<u32> {
        self.record.members().get("uid").and_then(Value::as_u64).and_then(|uid| u32::try_from(uid).ok())
    }

    /// On which terms the copy is made: it is the account's, and has no more rights than its user could give.
    pub fn terms(&self, texts: &Texts) -> Terms {
        let (uid, gid) = (self.row.uid, self.row.gid);
        let number = self.number.unwrap_or(uid);
        let changed = |own: u32| (own != number).then_some((own, number));
        let mut groups: Vec<u32> =
            self.member_of.iter().filter_map(|group| texts.number_of_group(group)).collect();
        groups.push(gid);
        Terms { user: changed(uid), group: changed(gid), no_more_than: Some(Maker { uid, groups }) }
    }

    /// The note of it.
    pub fn note(&self, now_usec: u64) -> Released {
        let mut note = Released::new(self.lines.clone(), &self.folder, &self.storage, self.host.clone());
        note.made_usec = now_usec;
        note
    }

    fn beside(&self) -> PathBuf {
        note::beside(&self.folder, &self.user)
    }

    fn kept(&self) -> PathBuf {
        note::kept(&self.storage, &self.user)
    }
}

/// The record as this machine has it on disk, with its signature.
fn host_record(user: &str) -> Result<Map<String, Value>, Failure> {
    let path = Path::new(RECORDS).join(format!("{user}.identity"));
    if !is_known(user) {
        return Ok(Map::new());
    }
    let broken = |why: String| Failure::say(format!("{}: {why}. Nothing was changed.", path.display()));
    let text = fs::read_to_string(&path).map_err(|error| broken(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| broken(error.to_string()))
}

/// Whether no account service, such as a directory's, knows somebody else by that number, as a user or as a group.
fn is_nobodys(number: u32, user: &str) -> bool {
    ["passwd", "group"].iter().all(|database| {
        let answer = Command::new("getent").args([database, number.to_string().as_str()]).output();
        let answer = answer.map(|answer| answer.stdout).unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer);
        let name = answer.split(':').next().unwrap_or_default();
        name.is_empty() || name == user
    })
}

fn free_at(folder: &Path) -> u64 {
    let above = folder.parent().unwrap_or(Path::new("/"));
    rustix::fs::statvfs(above).map(|space| space.f_bavail.saturating_mul(space.f_frsize)).unwrap_or(0)
}

/// The first of some names, for a sentence.
fn first<'a>(names: impl Iterator<Item = &'a PathBuf>) -> String {
    names.take(3).map(|path| visible_path(path)).collect::<Vec<_>>().join(", ")
}

/// How many inodes of a home belong to whom.
type Owners = BTreeMap<u32, u64>;
