//! The ways back: the home again, or nothing of it any more.

use super::{at, said, stuck_words};
use crate::bus::Failure;
use crate::classic::here::is_known;
use crate::classic::release::here::refuse_in_use;
use crate::classic::release::note::Released;
use crate::classic::release::plan::{Stuck, Wish, next};
use crate::context::{Context, Json};
use crate::verb::Outcome;
use crate::verb::repair::confirmed;
use serde_json::json;

/// `release USER --undo`
pub fn undo(ctx: &Context<'_>, user: &str) -> Outcome {
    let mut nothing = |_: &Released| Err(Failure::say("nothing is copied here"));
    let mut here = at(ctx, user, &mut nothing);
    let stands = here.look()?;
    let step = next(&stands, Wish::Home).map_err(|stuck| stuck_words(stuck, user))?;
    let Some(note) = here.note.clone().filter(|_| step.is_some()) else {
        return Err(stuck_words(Stuck::NothingKept, user));
    };
    let is_account = !is_known(user);
    if is_account {
        refuse_in_use(ctx.daemon, &note)?;
    }
    tell(ctx, user, &note, is_account);
    if ctx.settings.dry_run {
        return Ok(0);
    }
    if !ctx.settings.yes {
        confirmed(ctx, "Have the home again? [y/N]")?;
    }
    here.reach(Wish::Home).map_err(|stopped| said(stopped, user))?;
    let kept = here.put_away.as_ref().map_or_else(String::new, |path| {
        let path = path.display();
        format!("\n  The folder of the account is kept at {path}, with all that was written in it. To delete it: rm -r {path}")
    });
    ctx.asker.notice(&format!("{user} has a home again, which opens with the password that it had.{kept}"));
    Ok(0)
}

fn tell(ctx: &Context<'_>, user: &str, note: &Released, is_account: bool) {
    if ctx.settings.json != Json::Off {
        let told = json!({"userName": user, "folder": note.folder, "storage": note.storage, "isAccount": is_account});
        return ctx.say(&ctx.settings.json.write(&told));
    }
    ctx.say(&match is_account {
        false => format!("The home of {user} is there. What an earlier run has begun is taken back.\n"),
        true => format!(
            "The lines of {user} in /etc/passwd, shadow, group and gshadow are taken out; groups that the account has joined since \
             still name it.\nThe home comes back from {} as it was when it was released, with its password, groups and limits of \
             then; the folder of the account is kept beside it. Files elsewhere stay those of the account's number.\n",
            note.kept.display()
        ),
    });
}

/// `release USER --discard-original`
pub fn discard(ctx: &Context<'_>, user: &str) -> Outcome {
    let mut nothing = |_: &Released| Err(Failure::say("nothing is copied here"));
    let mut here = at(ctx, user, &mut nothing);
    let stands = here.look()?;
    let step = next(&stands, Wish::Forget).and_then(|step| step.ok_or(Stuck::NothingKept));
    step.map_err(|stuck| stuck_words(stuck, user))?;
    let kept = here.note.as_ref().map(|note| note.kept.display().to_string()).unwrap_or_default();
    ctx.say(&format!(
        "{kept}, the home that the account {user} was made of, is deleted, with its snapshots. There is no way back then.\n"
    ));
    if ctx.settings.dry_run {
        return Ok(0);
    }
    if !ctx.settings.yes {
        confirmed(ctx, "Delete it? [y/N]")?;
    }
    here.reach(Wish::Forget).map_err(|stopped| said(stopped, user))?;
    ctx.asker.notice(&format!("The home is deleted. {user} is a classic account."));
    Ok(0)
}
