//! `release`: a home becomes a classic account, or the home again ([`crate::classic::release`]).

mod back;

use super::Outcome;
use super::repair::confirmed;
use crate::bus::{Failure, Order};
use crate::classic::etc::Etc;
use crate::classic::here::is_known;
use crate::classic::lines::Texts;
use crate::classic::note::Notes;
use crate::classic::release::copying::Opened;
use crate::classic::release::here::{Here, Stopped};
use crate::classic::release::note::Released;
use crate::classic::release::plan::{Home, Noted, Step, Stuck, Wish, next};
use crate::classic::release::sight::Sight;
use crate::classic::waiting::{Hold, Waiting};
use crate::context::{Context, Json, Undoes};
use records::Refusal;

/// `release USER`
pub fn run(ctx: &Context<'_>, words: &[&str]) -> Outcome {
    let user = words[0];
    if ctx.settings.uid != 0 {
        return Err(Failure::say("Accounts are root's to change. Nothing was changed. Run it with sudo."));
    }
    let waiting = match ctx.settings.dry_run {
        true => None,
        false => Some(Waiting::begin(user)?),
    };
    match ctx.settings.undoes {
        Undoes::Nothing => release(ctx, user, waiting.as_ref()),
        Undoes::Conversion => back::undo(ctx, user),
        Undoes::Original => back::discard(ctx, user),
    }
}

fn release(ctx: &Context<'_>, user: &str, waiting: Option<&Waiting>) -> Outcome {
    let mut nothing = |_: &Released| Err(Failure::say("nothing is copied here"));
    let mut here = at(ctx, user, &mut nothing);
    let stands = here.look()?;
    let step = next(&stands, Wish::Account).map_err(|stuck| stuck_words(stuck, user))?;
    if stands.noted != Noted::Nothing && stands.home != Home::Known {
        return finish(ctx, here, step);
    }
    match (waiting, step) {
        (_, Some(Step::WriteNote | Step::Copy)) => {}
        (None, _) => {
            ctx.say(&format!(
                "An earlier release of {user} was cut short. The same without --dry-run goes on; --undo takes it back.\n"
            ));
            return Ok(0);
        }
        // What an earlier run has switched already is taken back: the home may have been used since.
        (Some(_), _) => {
            let begun = here.reach_before(Wish::Account, &[Step::WriteNote, Step::Copy]);
            tell_put_away(ctx, &here);
            begun.map_err(|stopped| said(stopped, user))?;
        }
    }
    let texts = here.texts()?;
    drop(here);
    let mut sight = Sight::of(ctx, user, &texts)?;
    let opened =
        if sight.wrong.is_empty() { Some(looked_into(ctx, &mut sight, user, &texts)?) } else { None };
    show(ctx, &sight);
    match (waiting, opened) {
        (Some(waiting), Some(opened)) if sight.wrong.is_empty() => {
            if !ctx.settings.yes
                && let Err(failure) = confirmed(ctx, "Do this? [y/N]")
            {
                opened.leave();
                return Err(failure);
            }
            make(ctx, (&sight, &texts), opened, waiting)
        }
        (_, opened) => {
            opened.into_iter().for_each(Opened::leave);
            refuse_wrong(&sight)
        }
    }
}

/// Opens the home, and looks at what is in it.
fn looked_into<'a, 'c>(
    ctx: &'a Context<'c>,
    sight: &mut Sight,
    user: &'a str,
    texts: &Texts,
) -> Result<Opened<'a, 'c>, Failure> {
    let opened = Opened::begin(ctx, user, &sight.folder)?;
    match sight.look_into(ctx, texts, &opened) {
        Ok(()) => Ok(opened),
        Err(failure) => {
            opened.leave();
            Err(failure)
        }
    }
}

fn refuse_wrong(sight: &Sight) -> Outcome {
    match sight.wrong.len() {
        0 => Ok(0),
        count => Err(Failure::say(format!(
            "The home of {} is not released: {count} in the way (see above). Nothing was changed.",
            sight.user
        ))),
    }
}

fn show(ctx: &Context<'_>, sight: &Sight) {
    match ctx.settings.json {
        Json::Off => ctx.say(&sight.text()),
        json => ctx.say(&json.write(&sight.json())),
    }
}

/// The account is there: what is left of the home is put away.
fn finish(ctx: &Context<'_>, mut here: Here<'_>, step: Option<Step>) -> Outcome {
    let user = here.user;
    match (step, ctx.settings.dry_run) {
        (None, _) => {
            return Err(Failure::say(format!(
                "{user} is a classic account already. Nothing was changed. To have the home again: homectl release {user} --undo; \
                 to delete it: homectl release {user} --discard-original"
            )));
        }
        (Some(_), true) => {
            ctx.say(&format!("The account {user} is there. What is left of the home would be put away.\n"));
            return Ok(0);
        }
        (Some(_), false) => here.reach(Wish::Account).map_err(|stopped| said(stopped, user))?,
    }
    done(ctx, &here, &[]);
    Ok(0)
}

fn done(ctx: &Context<'_>, here: &Here<'_>, told: &[String]) {
    let user = here.user;
    let kept = here.note.as_ref().map(|note| note.kept.display().to_string()).unwrap_or_default();
    told.iter().for_each(|told| ctx.asker.notice(told));
    ctx.asker.notice(&format!(
        "{user} is a classic account now, with the password of the home, which is kept at {kept}.\n  When all is well: homectl \
         release {user} --discard-original\n  To have the home again: homectl release {user} --undo"
    ));
}

/// The folder that was put away may have what was written since an earlier release.
fn tell_put_away(ctx: &Context<'_>, here: &Here<'_>) {
    if let Some(path) = &here.put_away {
        let path = path.display();
        ctx.asker.notice(&format!(
            "The folder that was put in the home's place is kept at {path}, with all that was written in it. To delete it: rm -r {path}"
        ));
    }
}

fn make(
    ctx: &Context<'_>,
    (sight, texts): (&Sight, &Texts),
    opened: Opened<'_, '_>,
    waiting: &Waiting,
) -> Outcome {
    let user = sight.user.as_str();
    let terms = sight.terms(texts);
    let (mut opened, mut told) = (Some(opened), Vec::new());
    // What was asked was answered: from here on Ctrl-C is for the copying.
    waiting.stops_by_signal(Hold::Yes);
    let stop = || waiting.is_stopped();
    let mut copy = |note: &Released| {
        let Some(home) = opened.take() else {
            return Err(Failure::say(format!(
                "The home of {user} was opened since it was copied. It is as it was; run the same again."
            )));
        };
        let copied = home.copy(note, &terms, &stop);
        home.leave();
        told = copied?;
        closed(ctx.daemon.order("DeactivateHome", Order::Text(user)), user)
    };
    let mut here = Here { stop: &stop, ..at(ctx, user, &mut copy) };
    let reached = reach(&mut here, sight.note(ctx.now_usec));
    tell_put_away(ctx, &here);
    let note = here.note.clone();
    drop(here);
    if let Some(opened) = opened {
        opened.leave();
    }
    reached?;
    let mut nothing = |_: &Released| Err(Failure::say("nothing is copied here"));
    let here = Here { note, ..at(ctx, user, &mut nothing) };
    done(ctx, &here, &told);
    Ok(0)
}

/// All of it, or what was begun is taken back.
fn reach(here: &mut Here<'_>, mut note: Released) -> Result<(), Failure> {
    let stands = here.look()?;
    if let (Noted::Account, Some(earlier)) = (stands.noted, &here.note) {
        // The numbers of an earlier run may be taken by now; its copy is brought up to date.
        note.inode = earlier.inode;
        let noted = here.notes.write(&note);
        noted.map_err(|error| Failure::say(format!("noting the account: {error}. Nothing was changed.")))?;
    }
    here.note = Some(note);
    let Err(stopped) = here.reach(Wish::Account) else { return Ok(()) };
    let why = said(stopped, here.user);
    // The account is there: the same again goes on.
    if !is_known(here.user) {
        return Err(why);
    }
    here.compared = None;
    let left = match here.reach(Wish::Home) {
        // Nothing was noted, or nothing is any more.
        Ok(()) | Err(Stopped::Stuck(Stuck::NothingKept)) => None,
        Err(left) => Some(said(left, here.user)),
    };
    Err(taken_back(here.user, (here.stop)(), &why, left.as_ref()))
}

/// Why a release has ended, after what was begun was taken back; or `left` says why not.
fn taken_back(user: &str, is_stopped: bool, why: &Failure, left: Option<&Failure>) -> Failure {
    match (is_stopped, left) {
        (true, None) => Failure::say(format!(
            "It was stopped. The home of {user} is as it was; what was copied is removed, or kept where it was told."
        )),
        (false, None) => why.clone(),
        (_, Some(left)) => Failure::say(format!(
            "{}\nWhat was begun is not all taken back: {}\nTo go on with that: homectl release {user} --undo",
            if is_stopped { "It was stopped." } else { text(why) },
            text(left)
        )),
    }
}

fn text(failure: &Failure) -> &str {
    match failure {
        Failure::Refused(_, text) | Failure::Other(text) => text,
    }
}

/// What became of the order to close a home, which may be closed by now. One that is busy is not waited for: whoever uses it may
/// write, and has done so when it is free.
fn closed(ordered: Result<(), Failure>, user: &str) -> Result<(), Failure> {
    match ordered {
        Err(failure) if failure.is(Refusal::HomeNotActive) => Ok(()),
        Err(failure) if failure.is(Refusal::HomeBusy) => Err(Failure::say(format!(
            "{} What is written to it now is not in the copy. The home of {user} is as it was; run the same again.",
            text(&failure)
        ))),
        other => other,
    }
}

fn at<'a>(
    ctx: &'a Context<'_>,
    user: &'a str,
    copy: &'a mut dyn FnMut(&Released) -> Result<(), Failure>,
) -> Here<'a> {
    Here {
        user,
        daemon: ctx.daemon,
        pause: ctx.pause,
        etc: Etc::default(),
        notes: Notes::default(),
        note: None,
        now_usec: ctx.now_usec,
        stop: &|| false,
        copy,
        compared: None,
        put_away: None,
    }
}

fn said(stopped: Stopped, user: &str) -> Failure {
    match stopped {
        Stopped::Failed(failure) => failure,
        Stopped::Asked => Failure::say("It was stopped."),
        Stopped::Stuck(stuck) => stuck_words(stuck, user),
    }
}

fn stuck_words(stuck: Stuck, user: &str) -> Failure {
    let undo = format!("homectl release {user} --undo");
    let note = Notes::<Released>::default().path(user);
    let note = note.display();
    Failure::say(match stuck {
        Stuck::NothingToRelease => {
            format!("There is no home of {user}. Nothing was changed. See: homectl list")
        }
        Stuck::IsAccount => format!("{user} is a classic account. Nothing was changed."),
        Stuck::NeverOpened => format!(
            "The home of {user} was never opened on this machine. Nothing was changed. Then: homectl activate {user}"
        ),
        Stuck::AccountBeside => format!(
            "There is a home of {user}, and a line of that name in /etc/passwd, which it was not released to. Nothing was changed. If \
             nobody needs that account: userdel {user} (without -r, which deletes the folder). The home stays as it is."
        ),
        Stuck::CopyMissing => {
            format!("The copy is not where it was put (see {note}). The home is as it was.")
        }
        Stuck::BeingUndone => format!("The home of {user} was being brought back. To go on: {undo}"),
        Stuck::AccountBroken => format!(
            "Something of the account {user} is not there any more (see {note}). Nothing was changed. To have the home again: {undo}"
        ),
        Stuck::HomeMissing => {
            format!(
                "The storage of the home of {user} is not where it was put (see {note}). Nothing was changed."
            )
        }
        Stuck::NothingKept => format!("Nothing is kept of a home of {user}. Nothing was changed."),
        Stuck::NotReleased => format!(
            "The home of {user} is not released, or not to the end. Nothing was changed. To go on: homectl release {user}; to have \
             the home again: {undo}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_is_busy_is_not_waited_for() {
        let refused = |refusal| Err(Failure::Refused(refusal, "It is in use.".to_owned()));
        assert_eq!(closed(Ok(()), "bob"), Ok(()));
        assert_eq!(closed(refused(Refusal::HomeNotActive), "bob"), Ok(()));
        let busy = closed(refused(Refusal::HomeBusy), "bob").expect_err("is in use");
        assert!(
            text(&busy).contains("It is in use.") && text(&busy).contains("run the same again"),
            "{busy:?}"
        );
    }

    #[test]
    fn all_is_as_it_was_where_all_was_taken_back() {
        let (why, left) = (Failure::say("It was stopped."), Failure::say("the disk is gone"));
        let said = |is_stopped, left| text(&taken_back("bob", is_stopped, &why, left)).to_owned();
        assert!(said(true, None).contains("is as it was"));
        for is_stopped in [true, false] {
            let said = said(is_stopped, Some(&left));
            assert!(said.contains("stopped") && said.contains("the disk is gone"), "{said}");
            assert!(said.contains("--undo") && !said.contains("as it was"), "{said}");
        }
    }
}
