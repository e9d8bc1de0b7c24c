//! `convert`: a classic account becomes a home, or an account again ([`crate::classic`]).

mod back;

use super::Outcome;
use super::create::with_secret;
use super::repair::confirmed;
use crate::bus::{Failure, Question, Who};
use crate::classic::account::Password;
use crate::classic::etc::Etc;
use crate::classic::here::{self, Here, Stopped};
use crate::classic::note::{Note, Notes};
use crate::classic::plan::{self, Home, Noted, Situation, Stuck, Wish};
use crate::classic::release::note::Released;
use crate::classic::sight::Sight;
use crate::classic::waiting::{Hold, Waiting};
use crate::context::{Context, Json, Undoes};
use crate::hashing;
use crate::prompt::Ready;
use records::{Credentials, Record, Refusal, Sections};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// How long it is waited for a daemon that is still taking an earlier try back.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// `convert USER`
pub fn run(ctx: &Context<'_>, words: &[&str]) -> Outcome {
    let user = words[0];
    refuse_options(ctx, user)?;
    if ctx.settings.uid != 0 {
        return Err(Failure::say("Accounts are root's to change. Nothing was changed. Run it with sudo."));
    }
    let waiting = match ctx.settings.dry_run {
        true => None,
        false => Some(Waiting::begin(user)?),
    };
    match ctx.settings.undoes {
        Undoes::Nothing => convert(ctx, user, waiting.as_ref()),
        Undoes::Conversion => back::undo(ctx, user),
        Undoes::Original => back::discard(ctx, user),
    }
}

/// What is said of a home that is made of nothing is refused, and not passed over.
fn refuse_options(ctx: &Context<'_>, user: &str) -> Result<(), Failure> {
    if ctx.draft.enrolled() > 0 || ctx.draft.recovery_key.is_some() || !ctx.draft.names.is_empty() {
        return Err(Failure::say(format!(
            "Keys beside the password are added when the home is there. Nothing was changed. Then: homectl update {user}"
        )));
    }
    if !ctx.draft.blobs.is_empty() || ctx.settings.identity.is_some() {
        return Err(Failure::say(format!(
            "A conversion takes neither pictures nor another record. Nothing was changed. Later: homectl update {user}"
        )));
    }
    Ok(())
}

fn convert(ctx: &Context<'_>, user: &str, waiting: Option<&Waiting>) -> Outcome {
    refuse_released(user)?;
    let mut nothing = |_: &Note| Err(Failure::say("there is nothing to make it of"));
    let mut here = at(ctx, user, &mut nothing);
    let stands = here.look()?;
    if stands.noted != Noted::Nothing && stands.home == Home::Known {
        return finish(ctx, here);
    }
    if stands.noted != Noted::Nothing {
        // An earlier try has come to nothing, or the home was removed.
        crate::classic::plan::next(&stands, Wish::Home).map_err(|stuck| stuck_words(stuck, user))?;
    }
    let sight = Sight::of(ctx, user, &here.texts()?, left(&stands, here.note.as_ref()))?;
    drop(here);
    show(ctx, &sight);
    if !sight.wrong.is_empty() {
        let count = sight.wrong.len();
        return Err(Failure::say(format!(
            "{user} is not converted: {count} in the way (see above). Nothing was changed."
        )));
    }
    let (Some(waiting), false) = (waiting, ctx.settings.dry_run) else { return Ok(0) };
    if !ctx.settings.yes {
        confirmed(ctx, "Do this? [y/N]")?;
    }
    make(ctx, &sight, waiting)
}

/// Storage that an earlier try has left: it was at its place already, and the power failed before homed knew of it. It is not in the
/// way.
fn left<'a>(stands: &Situation, note: Option<&'a Note>) -> Option<&'a Path> {
    let is_left = stands.noted == Noted::Account && stands.home == Home::Unknown;
    note.filter(|_| is_left).map(|note| note.storage.as_path())
}

/// The home that the account was made of is kept, and there can be one home of a name.
fn refuse_released(user: &str) -> Result<(), Failure> {
    match Notes::<Released>::default().path(user).exists() {
        false => Ok(()),
        true => Err(Failure::say(format!(
            "{user} was released from a home, which is kept. Nothing was changed. To have that again, as it was: homectl release \
             {user} --undo; to make a home of the account: homectl release {user} --discard-original first."
        ))),
    }
}

fn show(ctx: &Context<'_>, sight: &Sight) {
    match ctx.settings.json {
        Json::Off => ctx.say(&sight.text()),
        json => ctx.say(&json.write(&sight.json())),
    }
}

/// The home is there: what is left of the account is put away.
fn finish(ctx: &Context<'_>, mut here: Here<'_>) -> Outcome {
    if ctx.settings.dry_run {
        ctx.say(&format!(
            "The home of {} is there. What is left of the account would be put away.\n",
            here.user
        ));
        return Ok(0);
    }
    let user = here.user;
    here.reach(Wish::Home).map_err(|stopped| said(stopped, user))?;
    done(ctx, &here);
    Ok(0)
}

fn done(ctx: &Context<'_>, here: &Here<'_>) {
    let user = here.user;
    let away = here.note.as_ref().map(|note| note.away.display().to_string()).unwrap_or_default();
    ctx.asker.notice(&format!(
        "{user} has a home now; it opens with the password. The original is kept, unencrypted, at {away}.\n  When all is well: \
         homectl convert {user} --discard-original\n  To have the account again: homectl convert {user} --undo"
    ));
    if let Some(put_away) = &here.put_away {
        ctx.asker.notice(&format!(
            "What an earlier try has left is at {}, and may be deleted.",
            put_away.display()
        ));
    }
}

fn make(ctx: &Context<'_>, sight: &Sight, waiting: &Waiting) -> Outcome {
    let user = sight.account.user.as_str();
    let mut making = Making::begin(ctx, sight)?;
    let mut make = |_: &Note| {
        // What was asked was answered: from here on Ctrl-C is for the copying.
        waiting.stops_by_signal(Hold::No);
        making.send()
    };
    let mut here = at(ctx, user, &mut make);
    let (folder, inode) = &sight.folder;
    // A note that an earlier try has left tells of the account as it was then.
    let stands = here.look()?;
    if matches!(plan::next(&stands, Wish::Home), Ok(Some(plan::Step::MakeHome | plan::Step::PutStorageAway)))
    {
        here.reach(Wish::Account).map_err(|stopped| said(stopped, user))?;
    }
    here.note = Some(Note::new(sight.lines.clone(), (folder, *inode), &sight.storage, ctx.now_usec));
    match here.reach(Wish::Home) {
        Ok(()) => {
            done(ctx, &here);
            Ok(0)
        }
        Err(stopped) if here::is_known(user) => Err(said(stopped, user)),
        Err(stopped) => {
            let why = if waiting.is_stopped() { stopped_words(user) } else { said(stopped, user) };
            // Nothing but the note was made.
            match here.reach(Wish::Account) {
                Ok(()) => Err(why),
                Err(left) => {
                    ctx.complain(&why, user);
                    Err(said(left, user))
                }
            }
        }
    }
}

/// A home that is to be made.
struct Making<'a, 'c> {
    ctx: &'a Context<'c>,
    sight: &'a Sight,
    members: Map<String, Value>,
    credentials: Credentials,
}

impl<'a, 'c> Making<'a, 'c> {
    /// Asks for the password: the account's own, or a new one.
    fn begin(ctx: &'a Context<'c>, sight: &'a Sight) -> Result<Self, Failure> {
        let user = &sight.account.user;
        let talk = ctx.talk(user);
        let mut credentials = Credentials::default();
        let new = ctx.asker.ready(Ready::NewPassword);
        let hash = match (&sight.account.password, new) {
            (Password::Hash { hash, .. }, None) => {
                let ready = ctx.asker.ready(Ready::Password);
                let password = match ready {
                    Some(password) => password,
                    None => ctx.asker.ask(&format!("Password of {user}, as the account has it: "))?,
                };
                credentials.passwords.push(password);
                hash.clone()
            }
            (_, new) => {
                let password = new.map_or_else(|| talk.new_password(), Ok)?;
                let hash = hashing::hash(&password)?;
                credentials.passwords.push(password);
                hash
            }
        };
        let mut members = sight.members.clone();
        let privileged = members.entry("privileged").or_insert_with(|| json!({}));
        privileged["hashedPassword"] = json!([hash]);
        members.entry("lastChangeUSec").or_insert_with(|| json!(ctx.now_usec));
        members.entry("lastPasswordChangeUSec").or_insert_with(|| json!(ctx.now_usec));
        Ok(Self { ctx, sight, members, credentials })
    }

    /// Has homed make it; a daemon that is still taking an earlier try back is waited for.
    fn send(&mut self) -> Result<(), Failure> {
        let user = self.sight.account.user.as_str();
        for _ in 0..TRIES {
            if self.ctx.daemon.record(Who::Name(user)).is_err() {
                break;
            }
            (self.ctx.pause)(PAUSE);
        }
        let text = Value::Object(self.members.clone()).to_string();
        Record::parse(&text, Sections::EMBEDDED).map_err(|e| Failure::say(e.to_string()))?;
        let folder = self.sight.folder.0.to_string_lossy().into_owned();
        let group = self.sight.account.own_group(&self.sight.lines);
        let (ctx, members) = (self.ctx, &self.members);
        ctx.talk(user).insist(&mut self.credentials, |handed| {
            let record = with_secret(members, &handed.argument)?;
            let made = ctx.daemon.own("ConvertHome", Question::Account(&record, &folder, group));
            made.map(drop).map_err(wrong_password)
        })
    }
}

/// What is wrong is the account's password, and no new one.
fn wrong_password(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(Refusal::BadPassword, _) => {
            let text = "This is not the password of the account. Nothing was changed.";
            Failure::Refused(Refusal::BadPassword, text.to_owned())
        }
        other => other,
    }
}

fn at<'a>(
    ctx: &'a Context<'_>,
    user: &'a str,
    make: &'a mut dyn FnMut(&Note) -> Result<(), Failure>,
) -> Here<'a> {
    Here {
        user,
        daemon: ctx.daemon,
        pause: ctx.pause,
        etc: Etc::default(),
        notes: Notes::default(),
        note: None,
        now_usec: ctx.now_usec,
        make,
        put_away: None,
    }
}

fn said(stopped: Stopped, user: &str) -> Failure {
    match stopped {
        Stopped::Failed(failure) => failure,
        Stopped::Stuck(stuck) => stuck_words(stuck, user),
    }
}

fn stopped_words(user: &str) -> Failure {
    Failure::say(format!(
        "It was stopped. The account {user} and its folder are as they were; what was copied is removed."
    ))
}

fn stuck_words(stuck: Stuck, user: &str) -> Failure {
    let undo = format!("homectl convert {user} --undo");
    Failure::say(match stuck {
        Stuck::NothingToConvert => format!("There is no account {user} in /etc/passwd. Nothing was changed."),
        Stuck::HomeOfAnother => format!(
            "There is a home of {user}, which was not made of the account. Nothing was changed. homectl inspect {user} shows it."
        ),
        Stuck::StorageInTheWay => {
            format!("Storage of a home of {user} is there already. Nothing was changed.")
        }
        Stuck::HomeRemoved => format!(
            "The home that was made of {user} is not there any more, or the account was being put back. Nothing was changed. The \
             account is kept; to have it again: {undo}"
        ),
        Stuck::NothingKept => format!("Nothing is kept of an account {user}. Nothing was changed."),
        Stuck::FolderMissing => format!(
            "The folder of the account {user} is not where it was put (see {}). Nothing was changed.",
            Notes::<Note>::default().path(user).display()
        ),
        Stuck::NotConverted => format!(
            "{user} is not converted, or not to the end. Nothing was changed. To go on: homectl convert {user}; to have the \
             account again: {undo}"
        ),
    })
}
