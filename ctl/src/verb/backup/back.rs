//! `backup USER restore`: a home made anew of a backup, on a machine that need not have known it.

use super::{Open, Outcome, Whose, is_set, of_name};
use crate::backup::answers::{latest, mark};
use crate::backup::inside::Start;
use crate::backup::note::{MADE_OF, Restoring};
use crate::backup::plan::{Home, Next, Noted, Situation, Step, next};
use crate::backup::program::{self, Rights, program};
use crate::backup::repository::{Repository, named};
use crate::bus::{Failure, Question, Who};
use crate::classic::note::Notes;
use crate::context::Context;
use crate::verb::create;
use crate::verb::repair::confirmed;
use crate::verb::trust::visible;
use records::{Credentials, Machine, Record, Refusal, Sections, UserName, keys, stranger};
use serde_json::{Map, Value};
use std::path::Path;

/// `restore [BACKUP]`
pub fn restore(ctx: &Context<'_>, user: &str, words: &[&str]) -> Outcome {
    if ctx.settings.uid != 0 {
        return Err(Failure::say("Homes are made by root: run it with sudo. Nothing was changed."));
    }
    UserName::parse(user).map_err(|e| Failure::say(e.to_string()))?;
    let wanted = words.first().copied().map(of_name).transpose()?;
    let members = ctx.draft.apply(Map::new(), &ctx.machine.id);
    let repository = Repository::find(named(&members), &is_set, ctx.asker)?;
    let mut work = Work { ctx, user, wanted, repository, notes: Notes::default(), state: State::default() };
    let done = work.all();
    if let Some(open) = work.state.open.take() {
        open.end(ctx, user);
    }
    done.map(|()| 0)
}

struct Work<'a, 'c> {
    ctx: &'a Context<'c>,
    user: &'a str,
    /// The backup that was named; `None`: the latest.
    wanted: Option<&'a str>,
    repository: Repository,
    notes: Notes<Restoring>,
    state: State,
}

/// How far this program has come.
#[derive(Default)]
struct State {
    noted: bool,
    made: bool,
    filled: bool,
    /// What opens the home, so that nobody is asked twice.
    given: Credentials,
    open: Option<Open>,
}

impl Work<'_, '_> {
    fn all(&mut self) -> Result<(), Failure> {
        loop {
            let note = self.notes.read(self.user).map_err(|error| self.unnoted(&error))?;
            let home = self.home(note.as_ref())?;
            if let Some(note) = note.as_ref().filter(|note| note.filled && !self.state.filled) {
                self.notes.remove(self.user).map_err(|error| self.unnoted(&error))?;
                if home == Home::OfBackup && self.is_wanted(note) {
                    self.ctx.asker.notice(&format!("All of the backup of {} is in the home.", note.time));
                    return Ok(());
                }
                continue;
            }
            let noted = match (&note, self.state.noted) {
                (None, _) => Noted::Nothing,
                (Some(_), false) => Noted::Before,
                (Some(_), true) => Noted::Now,
            };
            match (next(Situation { noted, home, filled: self.state.filled }), note) {
                (Next::Done, _) => return Ok(()),
                (Next::IsThere, _) => return Err(self.is_there()),
                (Next::Do(Step::Note), _) => self.note()?,
                (Next::Do(Step::Make), Some(note)) => self.make(&note)?,
                (Next::Do(Step::Fill), Some(note)) => self.fill(&note)?,
                (Next::Do(_), _) => {
                    self.notes.remove(self.user).map_err(|error| self.unnoted(&error))?;
                }
            }
        }
    }

    fn home(&self, note: Option<&Restoring>) -> Result<Home, Failure> {
        let reply = match self.ctx.daemon.record(Who::Name(self.user)) {
            Err(failure) if failure.is(Refusal::NoSuchHome) => return Ok(Home::Missing),
            other => other?,
        };
        let members: Value = serde_json::from_str(&reply.json).map_err(|e| Failure::say(e.to_string()))?;
        if note.is_some() && self.is_unread()? {
            // The power failed when its storage had its name, and homed had no record of it yet.
            return Ok(Home::OfBackup);
        }
        let is_of_it = note.is_none_or(|note| members[MADE_OF] == note.backup.as_str());
        let was_made_now = note.is_some() || self.state.filled;
        Ok(if is_of_it && was_made_now { Home::OfBackup } else { Home::Other })
    }

    /// Whether homed has found its storage, and not looked into it yet: that takes a key.
    fn is_unread(&self) -> Result<bool, Failure> {
        let homes = self.ctx.daemon.homes()?;
        Ok(homes.iter().any(|home| home.name == self.user && home.state == "unfixated"))
    }

    /// Which backup, and the record in it, as far as it is believed.
    fn note(&mut self) -> Result<(), Failure> {
        let ask = |words: &[&str]| {
            let start = Start::Folder(Path::new("/"));
            program::answer(program(&self.repository, Rights::Own, start, words)?, Rights::Own)
        };
        let tag = mark(self.user);
        let mut words = vec!["snapshots", "--json", "--no-lock", "--tag", &tag];
        words.extend(self.wanted);
        let backup = latest(&ask(&words)?, self.user);
        let backup = backup.ok_or_else(|| {
            Failure::say(format!(
                "There is no such backup of the home of {} in that repository. Nothing was made. Those there are: restic snapshots",
                self.user
            ))
        })?;
        let text = ask(&["dump", "--no-lock", &backup.id, "/.identity"])?;
        let record = Record::parse(&text, Sections::EMBEDDED).map_err(|error| {
            Failure::say(format!("The record in the backup cannot be used: {error}. Nothing was made."))
        })?;
        if record.user().as_str() != self.user {
            return Err(Failure::say(format!(
                "That is a backup of the home of {}, and not of {}. Nothing was made.",
                record.user().as_str(),
                self.user
            )));
        }
        let (members, claims) = believed(&record, &self.ctx.machine);
        for (name, value) in claims {
            let value =
                if name.starts_with("privileged.") { "…".to_owned() } else { visible(&value.to_string()) };
            self.ctx.asker.notice(&format!("Not taken from the backup: {} = {value}", visible(&name)));
        }
        let members = self.ctx.draft.apply(members, &self.ctx.machine.id);
        let note = Restoring::new(self.user, (&backup.id, &backup.time), members);
        self.notes.write(&note).map_err(|error| self.unnoted(&error))?;
        self.ctx
            .asker
            .notice(&format!("The home of {} is made of the backup of {}.", self.user, backup.time));
        self.state.noted = true;
        Ok(())
    }

    fn make(&mut self, note: &Restoring) -> Result<(), Failure> {
        let mut given = self.ctx.talk(self.user).ready();
        if given.passwords.is_empty() {
            let question = format!("Password of {}, as it was when the backup was made: ", self.user);
            given.passwords.push(self.ctx.asker.ask(&question)?);
        }
        self.state.given.passwords = given.passwords.iter().map(records::Secret::duplicate).collect();
        create::make(self.ctx, note.record.clone(), given)?;
        self.state.made = true;
        Ok(())
    }

    fn fill(&mut self, note: &Restoring) -> Result<(), Failure> {
        if !self.is_wanted(note) {
            return Err(Failure::say(format!(
                "The home of {0} is being filled with the backup {1}. Nothing was changed. To go on with that: homectl backup {0} \
                 restore. Somebody may have worked in the home since: what is in it is lost where it is removed to begin anew",
                self.user, note.backup
            )));
        }
        let given = std::mem::take(&mut self.state.given);
        self.state.open = Some(Open::begin_with(self.ctx, self.user, given)?);
        // Opened, it says what it was made of.
        if self.home(Some(note))? == Home::Other {
            return Err(self.is_there());
        }
        let whose = Whose::read(self.ctx, self.user)?;
        if !self.state.made {
            self.keep_what_is_there()?;
        }
        let words = program::to_restore(&note.backup, &whose.account.home);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (rights, start) = (Rights::Of(&whose.account), Start::Folder(Path::new(&whose.account.home)));
        let ended = program::run(program(&self.repository, rights, start, &words)?, rights)?;
        if !ended.success() {
            return Err(Failure::say(format!(
                "The home of {0} is there, and not all of the backup is in it ({ended}; see above). Nothing was lost. restic runs as \
                 {0}, with the UID {1}: a repository on this machine has to be readable for that. To go on: the same command again",
                self.user, whose.account.uid
            )));
        }
        let synced = std::fs::File::open(&whose.account.home).and_then(|home| Ok(rustix::fs::syncfs(home)?));
        synced.map_err(|error| {
            Failure::say(format!("{}: {error}. To go on: the same command again", whose.account.home))
        })?;
        self.notes.write(&note.clone().into_filled()).map_err(|error| self.unnoted(&error))?;
        self.state.filled = true;
        Ok(())
    }

    fn is_wanted(&self, note: &Restoring) -> bool {
        self.wanted.is_none_or(|wanted| note.backup.starts_with(wanted))
    }

    /// Somebody may have worked in the home since it was filled in part.
    fn keep_what_is_there(&self) -> Result<(), Failure> {
        match self.ctx.daemon.own("MakeSnapshot", Question::Snapshot(self.user, "")) {
            Ok(_) => {
                self.ctx
                    .asker
                    .notice("The home was filled in part before. As it is, it is kept as a snapshot.");
                Ok(())
            }
            Err(failure) if failure.is(Refusal::NotSupported) && self.ctx.settings.yes => Ok(()),
            Err(failure) if failure.is(Refusal::NotSupported) => confirmed(
                self.ctx,
                "The home was filled in part before. Files in it that are in the backup, too, become as they are there. Do this? [y/N]",
            ),
            Err(failure) => Err(failure),
        }
    }

    fn is_there(&self) -> Failure {
        Failure::say(format!(
            "There is a home of {} already. Nothing was changed. To bring files of a backup into it, as {0}: restic restore",
            self.user
        ))
    }

    fn unnoted(&self, error: &std::io::Error) -> Failure {
        Failure::say(format!("{}: {error}", self.notes.path(self.user).display()))
    }
}

/// A backup is written by whoever knows its password, so its record is worth what a stranger's is. Of what opens a home only
/// the password is taken: keys have no slots in a new one. What it claims beside that comes back, too.
fn believed(record: &Record, machine: &Machine) -> (Map<String, Value>, Map<String, Value>) {
    // What this machine has accepted is in no record that comes from elsewhere.
    let record = record.only(Sections::SIGNED);
    let claims = stranger::claims(&record, machine);
    let mut members = stranger::believed(&record, machine).only(Sections::SIGNED).members().clone();
    for kind in keys::KINDS {
        keys::take_out_all(&mut members, kind);
    }
    // How much of the disk is its own says this machine.
    for name in ["blobManifest", "uuid", "rebalanceWeight", MADE_OF] {
        members.remove(name);
    }
    (members, claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::{HostName, MachineId};
    use serde_json::json;

    const HERE: &str = "11111111111111111111111111111111";

    #[test]
    fn a_record_that_lay_in_a_repository_gives_no_right_and_no_key() {
        let machine = Machine { id: MachineId::parse(HERE).expect("valid"), host: HostName("box".into()) };
        let text = json!({
            "userName": "alice", "realName": "Alice", "shell": "/bin/zsh", "memberOf": ["sudo"], "uid": 0, "gid": 0,
            "homeDirectory": "/etc", "imagePath": "/dev/sda", "disposition": "system", "uuid": "11111111-1111-1111-1111-111111111111",
            "rebalanceWeight": 10000, "restoredBackup": "0123abcd", "blobManifest": {"avatar": "0".repeat(64)},
            "fido2HmacCredential": ["AAAA"], "recoveryKeyType": ["modhex64"],
            "privileged": {
                "hashedPassword": ["$y$j9T$x$y"], "sshAuthorizedKeys": ["ssh-ed25519 AAAA evil"],
                "fido2HmacSalt": [{"credential": "AAAA", "salt": "AAAA", "hashedPassword": "$y$j9T$x$y"}],
                "recoveryKey": [{"type": "modhex64", "hashedPassword": "$y$j9T$x$y"}],
                "backupRepository": "rest:https://example.com/all-you-have",
            },
            "perMachine": [{"matchMachineId": HERE, "memberOf": ["disk"], "niceLevel": -20}],
        });
        let accepted = json!({ HERE: { "acceptedClaims": { "memberOf": ["sudo"], "niceLevel": -20 } } });
        let mut with_binding = text.clone();
        with_binding["binding"] = accepted;
        let expected = json!({
            "userName": "alice", "realName": "Alice", "shell": "/bin/zsh", "disposition": "regular",
            "privileged": { "hashedPassword": ["$y$j9T$x$y"] },
        });
        for text in [text, with_binding] {
            let record = Record::from_value(text, Sections::HOST).expect("valid");
            let (members, claims) = believed(&record, &machine);
            assert_eq!(Value::Object(members), expected);
            for claim in
                ["memberOf", "niceLevel", "privileged.sshAuthorizedKeys", "privileged.backupRepository"]
            {
                assert!(claims.contains_key(claim), "{claim}");
            }
        }
        // Where it is read it may have none at all.
        assert!(Record::parse("{\"userName\": \"alice\", \"binding\": {}}", Sections::EMBEDDED).is_err());
    }
}
