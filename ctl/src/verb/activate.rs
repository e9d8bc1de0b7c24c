//! Verbs that are one call with a secret.

use super::{Outcome, each};
use crate::bus::Order;
use crate::context::Context;

/// `activate`: no polkit agent, as in the original.
pub fn activate(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    with_secret(ctx, names, "ActivateHome")
}

/// `authenticate`, by default oneself.
pub fn authenticate(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    ctx.start_agent();
    if names.is_empty() {
        return with_secret(ctx, &[&ctx.own_name()?], "AuthenticateHome");
    }
    with_secret(ctx, names, "AuthenticateHome")
}

/// `fixate`
pub fn fixate(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    with_secret(ctx, names, "FixateHome")
}

/// `unlock`
pub fn unlock(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    with_secret(ctx, names, "UnlockHome")
}

fn with_secret(ctx: &Context<'_>, names: &[&str], method: &str) -> Outcome {
    each(ctx, names, |name| {
        let talk = ctx.talk(name);
        talk.insist(&mut talk.ready(), |handed| {
            ctx.daemon.order(method, Order::Secret(name, &handed.argument))
        })
    })
}
