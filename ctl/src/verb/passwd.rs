//! `passwd`: changes the password.

use super::Outcome;
use crate::bus::{Order, Who};
use crate::context::Context;
use records::{Credentials, Refusal};

/// `passwd`, by default one's own.
pub fn run(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    if !ctx.draft.is_empty() {
        return Err(crate::bus::Failure::say(
            "passwd changes nothing but the password; for settings there is: homectl update",
        ));
    }
    ctx.start_agent();
    let name = match names {
        [name, ..] => (*name).to_owned(),
        [] => ctx.own_name()?,
    };
    // Nobody types a password twice to hear that there is no such home.
    ctx.daemon.record(Who::Name(&name))?;
    let talk = ctx.talk(&name);
    let mut old = talk.ready();
    loop {
        let new = Credentials { passwords: vec![talk.new_password()?], ..Credentials::default() };
        let new_handed = ctx.vault.hand(&new)?;
        let mut new_handed = Some(new_handed);
        let done = talk.insist(&mut old, |handed| {
            // A ticket is good once: every try hands the new password over again.
            let fresh = match new_handed.take() {
                Some(first) => first,
                None => ctx.vault.hand(&new)?,
            };
            ctx.daemon.order("ChangePasswordHome", Order::Passwords(&name, &fresh.argument, &handed.argument))
        });
        match done {
            Err(failure) if failure.is(Refusal::LowPasswordQuality) && ctx.can_ask() => {
                ctx.complain(&failure, &name)
            }
            other => return other.map(|()| 0),
        }
    }
}
