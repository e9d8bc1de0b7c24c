//! `backup`: what is in a home, handed to restic, and a home made anew of that.

mod back;
mod view;

use super::Outcome;
use crate::backup::answers::{is_id, mark};
use crate::backup::inside::Start;
use crate::backup::program::{self, Account, INCOMPLETE, Rights, program};
use crate::backup::repository::{Repository, named};
use crate::bus::{Failure, Order, Suspend, Who};
use crate::context::{Context, Json};
use crate::verb::trust::visible;
use records::{Credentials, Record, Refusal, Sections};
use serde_json::{Map, Value};
use std::path::Path;
use view::View;

/// What may be done, by the word for it; fewest and most words after that.
const ACTIONS: &[(&str, usize, usize, Action)] =
    &[("make", 0, 0, make), ("list", 0, 0, list), ("restore", 0, 1, back::restore)];

type Action = fn(&Context<'_>, &str, &[&str]) -> Outcome;

/// The words for what may be done.
pub fn actions() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|(word, ..)| *word)
}

/// `backup USER [make | list | restore [BACKUP]]`
pub fn run(ctx: &Context<'_>, words: &[&str]) -> Outcome {
    let (user, rest) = (words[0], words.get(1..).unwrap_or_default());
    let (action, rest) = rest.split_first().map_or(("make", rest), |(action, rest)| (*action, rest));
    let row = ACTIONS.iter().find(|row| row.0 == action);
    let Some((_, _, _, run)) = row.filter(|row| (row.1..=row.2).contains(&rest.len())) else {
        return Err(Failure::say(format!(
            "{action:?}, with {} words after it, is nothing that is done with backups. Nothing was changed. What is:\n  \
             homectl backup {user} [make | list | restore [BACKUP]]",
            rest.len()
        )));
    };
    ctx.start_agent();
    run(ctx, user, rest)
}

/// Whose home, and what its record says.
struct Whose {
    account: Account,
    members: Map<String, Value>,
}

impl Whose {
    fn read(ctx: &Context<'_>, user: &str) -> Result<Self, Failure> {
        let reply = ctx.daemon.record(Who::Name(user))?;
        let record = Record::parse(&reply.json, Sections::OWNER).map_err(|e| Failure::say(e.to_string()))?;
        let settings = record.on(&ctx.machine);
        let uid = record.of_home_on(&ctx.machine).uid;
        let uid = uid.ok_or_else(|| Failure::say("homed gave a record without a UID"))?;
        let (name, home) = (record.user().to_string(), settings.effective_home_directory());
        Ok(Self { account: Account { name, uid, home }, members: record.members().clone() })
    }

    /// The rights that restic gets: the user's, whoever runs it.
    fn rights(&self, ctx: &Context<'_>) -> Result<Rights<'_>, Failure> {
        match ctx.settings.uid {
            0 => Ok(Rights::Of(&self.account)),
            uid if uid == self.account.uid => Ok(Rights::Own),
            _ => Err(Failure::say(format!(
                "A backup of the home of {0} is made with the rights of {0}: run it as {0} or as root. Nothing was changed.",
                self.account.name
            ))),
        }
    }

    fn repository(&self, ctx: &Context<'_>) -> Result<Repository, Failure> {
        match self.rights(ctx)? {
            Rights::Own => {
                let members = ctx.draft.apply(self.members.clone(), &ctx.machine.id);
                Repository::find(named(&members), &is_set, ctx.asker)
            }
            Rights::Of(_) => {
                let own = ctx.draft.apply(Map::new(), &ctx.machine.id);
                Repository::find_for_root(named(&own), named(&self.members), &is_set, ctx.asker)
            }
        }
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn make(ctx: &Context<'_>, user: &str, _: &[&str]) -> Outcome {
    let whose = Whose::read(ctx, user)?;
    let rights = whose.rights(ctx)?;
    let repository = whose.repository(ctx)?;
    let open = Open::begin(ctx, &whose.account.name)?;
    let made = View::begin(ctx, &whose.account).and_then(|view| {
        let words = program::to_back_up(&whose.account.name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = program(&repository, rights, view.start(), &words)
            .and_then(|command| program::run(command, rights));
        view.end(ctx, &whose.account.name);
        ended
    });
    open.end(ctx, &whose.account.name);
    let ended = made?;
    match ended.code() {
        Some(0) => Ok(0),
        Some(INCOMPLETE) => {
            ctx.asker.notice("Some files could not be read (see above); all others are in the backup.");
            Ok(1)
        }
        _ => Err(Failure::say(format!(
            "restic made no backup ({ended}; see above). The home was not changed. Where there is no repository yet, restic \
             makes one: restic init"
        ))),
    }
}

fn list(ctx: &Context<'_>, user: &str, _: &[&str]) -> Outcome {
    let whose = Whose::read(ctx, user)?;
    let rights = whose.rights(ctx)?;
    let repository = whose.repository(ctx)?;
    let tag = mark(&whose.account.name);
    let mut words = vec!["snapshots", "--no-lock", "--tag", &tag];
    if ctx.settings.json != Json::Off {
        words.push("--json");
    }
    // What is in a repository somebody else may have put there.
    let start = Start::Folder(Path::new("/"));
    let told = program::answer(program(&repository, rights, start, &words)?, rights)?;
    ctx.say(&told.lines().map(|line| visible(line) + "\n").collect::<String>());
    Ok(0)
}

/// A home that is open, for as long as this lives where it was not before.
struct Open(Option<std::os::fd::OwnedFd>);

impl Open {
    fn begin(ctx: &Context<'_>, user: &str) -> Result<Self, Failure> {
        Self::begin_with(ctx, user, Credentials::default())
    }

    /// With what opens it, where that is known already.
    fn begin_with(ctx: &Context<'_>, user: &str, mut given: Credentials) -> Result<Self, Failure> {
        let rows = ctx.daemon.homes()?;
        let is_open = |state: &str| matches!(state, "active" | "lingering");
        if rows.iter().any(|row| row.name == user && is_open(&row.state)) {
            return Ok(Self(None));
        }
        let talk = ctx.talk(user);
        let acquire =
            |handed: &crate::vault::Handed| ctx.daemon.acquire(user, &handed.argument, Suspend::Prevented);
        given.append(talk.ready());
        Ok(Self(Some(talk.insist(&mut given, acquire)?)))
    }

    fn end(self, ctx: &Context<'_>, user: &str) {
        let Some(reference) = self.0 else { return };
        drop(reference);
        match ctx.daemon.order("ReleaseHome", Order::Text(user)) {
            Err(failure) if failure.is(Refusal::HomeBusy) => {
                ctx.asker.notice(&format!("{user}: the home stays open: others use it."));
            }
            Err(failure) => ctx.complain(&failure, user),
            Ok(()) => {}
        }
    }
}

/// A backup that somebody has named: no word and no option of restic's.
fn of_name(text: &str) -> Result<&str, Failure> {
    match is_id(text) {
        true => Ok(text),
        false => Err(Failure::say(format!(
            "{text:?} is the name of no backup: that has 8 to 64 of the digits 0 to 9 and a to f. Nothing was changed. To see those \
             there are: restic snapshots"
        ))),
    }
}
