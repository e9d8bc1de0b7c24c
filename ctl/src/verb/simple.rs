//! Verbs that are one call and need no secret.

use super::{Outcome, each};
use crate::bus::Order;
use crate::context::Context;
use records::Refusal;

/// `remove`
pub fn remove(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    of_each(ctx, names, "RemoveHome")
}

/// `unregister`
pub fn unregister(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    of_each(ctx, names, "UnregisterHome")
}

/// `lock`
pub fn lock(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    of_each(ctx, names, "LockHome")
}

/// `lock-all`
pub fn lock_all(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    ctx.daemon.order("LockAllHomes", Order::Nothing).map(|()| 0)
}

/// `deactivate-all`
pub fn deactivate_all(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    ctx.daemon.order("DeactivateAllHomes", Order::Nothing).map(|()| 0)
}

/// `rebalance`: nothing to do is success.
pub fn rebalance(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    match ctx.daemon.order("Rebalance", Order::Nothing) {
        Err(failure) if failure.is(Refusal::RebalanceNotNeeded) => {
            ctx.asker.notice("There is nothing to rebalance.");
            Ok(0)
        }
        other => other.map(|()| 0),
    }
}

fn of_each(ctx: &Context<'_>, names: &[&str], method: &str) -> Outcome {
    ctx.start_agent();
    each(ctx, names, |name| ctx.daemon.order(method, Order::Text(name)))
}
