//! The ways back: the account again, or nothing of it any more.

use super::{at, said};
use crate::bus::{Failure, Order, Suspend};
use crate::classic::here::{self, Here};
use crate::classic::note::Note;
use crate::classic::plan::{Stuck, Wish, next};
use crate::context::{Context, Json};
use crate::verb::Outcome;
use crate::verb::repair::confirmed;
use copytree::{Difference, What};
use serde_json::json;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

/// So many differences are told.
const TOLD: usize = 20;
/// So many are looked at. Where the account's group had another number than its user, each file has one.
const LOOKED_AT: usize = 1_000_000;

/// `convert USER --undo`
pub fn undo(ctx: &Context<'_>, user: &str) -> Outcome {
    let mut nothing = |_: &Note| Err(Failure::say("no home is made here"));
    let mut here = at(ctx, user, &mut nothing);
    let stands = here.look()?;
    let step = next(&stands, Wish::Account).map_err(|stuck| super::stuck_words(stuck, user))?;
    let Some(note) = here.note.clone().filter(|_| step.is_some()) else {
        return Err(Failure::say(format!("{user} is a classic account. Nothing was changed.")));
    };
    let written = if here::is_known(user) { written(ctx, user, &note)? } else { None };
    tell(ctx, user, &note, written.as_deref());
    if ctx.settings.dry_run {
        return Ok(0);
    }
    if !ctx.settings.yes {
        confirmed(ctx, "Have the account again as it was? [y/N]")?;
    }
    here.reach(Wish::Account).map_err(|stopped| said(stopped, user))?;
    let kept = here.put_away.as_ref().map_or_else(String::new, |path| {
        let path = path.display();
        format!(
            "\n  The home is kept at {path}, with all that was written in it, and opens with its password. To delete it: rm -r \
             {path}"
        )
    });
    ctx.asker.notice(&format!("{user} is a classic account again, as it was when it was converted.{kept}"));
    Ok(0)
}

/// What was written in the home since, as far as it opens; `None`: nobody can tell.
fn written(ctx: &Context<'_>, user: &str, note: &Note) -> Result<Option<Vec<Difference>>, Failure> {
    let talk = ctx.talk(user);
    let mut credentials = talk.ready();
    if credentials.passwords.is_empty() && (ctx.settings.yes || !ctx.can_ask()) {
        return Ok(None);
    }
    // Opened before: the home is mounted over it, where it is not put away yet.
    let original = if note.away.exists() { &note.away } else { &note.folder };
    let broken = |error: &dyn std::fmt::Display| Failure::say(format!("{}: {error}", original.display()));
    let original_folder = File::open(original).map_err(|error| broken(&error))?;
    let reference = talk
        .insist(&mut credentials, |handed| ctx.daemon.acquire(user, &handed.argument, Suspend::Prevented))?;
    let home = File::open(&note.folder).map_err(|error| broken(&error));
    let found = home.and_then(|home| {
        copytree::differences(original_folder.as_fd(), home.as_fd(), LOOKED_AT)
            .map_err(|error| broken(&error))
    });
    drop(reference);
    ctx.daemon.order("ReleaseHome", Order::Text(user))?;
    let found = found?;
    let is_cut_short = found.len() >= LOOKED_AT;
    let theirs: Vec<_> = found.into_iter().filter(is_of_the_user).collect();
    Ok(if theirs.is_empty() && is_cut_short { None } else { Some(theirs) })
}

/// What homed itself has made of the copy is no news: its record, and the owner that it shows.
fn is_of_the_user(difference: &Difference) -> bool {
    let own = [Path::new(""), Path::new("."), Path::new(".identity"), Path::new(".identity-blob")];
    !own.contains(&difference.path.as_path()) && !matches!(difference.what, What::Owner(..))
}

fn tell(ctx: &Context<'_>, user: &str, note: &Note, written: Option<&[Difference]>) {
    let names = written.map(|written| {
        let mut names: Vec<_> = written.iter().map(|one| one.path.display().to_string()).collect();
        names.dedup();
        names
    });
    if ctx.settings.json != Json::Off {
        let told =
            json!({"userName": user, "folder": note.folder, "keptAt": note.away, "writtenSince": names});
        return ctx.say(&ctx.settings.json.write(&told));
    }
    ctx.say(&match names.as_deref() {
        None => format!("The home of {user} was not opened, so nobody tells what was written in it since.\n"),
        Some([]) => format!("Nothing was written in the home of {user} since it was converted.\n"),
        Some(names) => {
            let (more, shown) = (if names.len() > TOLD { "\n  …" } else { "" }, names.iter().take(TOLD));
            let shown: Vec<_> = shown.map(|name| format!("\n  {name}")).collect();
            format!(
                "Written, changed or removed in the home of {user} since it was converted, and not in the account:{}{more}\n",
                shown.concat()
            )
        }
    });
    ctx.say(
        "Password, lock, ages and groups are those of the account again, as they were when it was converted; what was changed of the \
         home's since does not count.\n",
    );
}

/// `convert USER --discard-original`
pub fn discard(ctx: &Context<'_>, user: &str) -> Outcome {
    let mut nothing = |_: &Note| Err(Failure::say("no home is made here"));
    let mut here: Here<'_> = at(ctx, user, &mut nothing);
    let stands = here.look()?;
    let step = next(&stands, Wish::Forget).and_then(|step| step.ok_or(Stuck::NothingKept));
    step.map_err(|stuck| super::stuck_words(stuck, user))?;
    let away = here.note.as_ref().map(|note| note.away.display().to_string()).unwrap_or_default();
    ctx.say(&format!(
        "{away}, the original of the home of {user}, is deleted. There is no way back to the account then.\n"
    ));
    if ctx.settings.dry_run {
        return Ok(0);
    }
    if !ctx.settings.yes {
        confirmed(ctx, "Delete it? [y/N]")?;
    }
    here.reach(Wish::Forget).map_err(|stopped| said(stopped, user))?;
    ctx.asker.notice(
        "The original is deleted. What it had is on the disk until other files are written there (fstrim has an SSD forget it).",
    );
    Ok(0)
}
