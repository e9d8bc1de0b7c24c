//! The verbs: one row each, one file each where they are more than a call.

pub mod activate;
pub mod backup;
mod carry;
pub mod check;
pub mod convert;
pub mod create;
pub mod deactivate;
mod eject;
pub mod firstboot;
pub mod inhibit;
pub mod inspect;
pub mod keys;
pub mod list;
pub mod migrate;
pub mod passwd;
pub mod release;
mod remarks;
pub mod repair;
pub mod resize;
pub mod security;
pub mod simple;
pub mod snapshot;
pub mod status;
mod sync;
pub mod trust;
pub mod update;
pub mod with;

use crate::bus::Failure;
use crate::context::Context;

/// How a verb ends: the exit code, or why not.
pub type Outcome = Result<u8, Failure>;

/// One verb.
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, as shown in the help.
    pub arguments: &'static str,
    /// One sentence for the help.
    pub help: &'static str,
    /// Group in the help; empty: not shown.
    pub group: &'static str,
    /// Fewest and most arguments.
    pub count: (usize, usize),
    /// What it does.
    pub run: fn(&Context<'_>, &[&str]) -> Outcome,
}

const MANY: usize = usize::MAX;
const BASIC: &str = "Basic commands";
const ADVANCED: &str = "Advanced commands";
const MIGRATION: &str = "Moving between machines";
const KEYS: &str = "Signing keys";
const LOCK: &str = "Locking";
const DAMAGE: &str = "Damaged homes";
const OTHER: &str = "Other commands";

/// All verbs, in the order of the help.
#[rustfmt::skip]
pub const VERBS: &[Verb] = &[
    Verb { name: "list", arguments: "", help: "List the homes (default)", group: BASIC, count: (0, 0), run: list::run },
    Verb { name: "inspect", arguments: "[USER…]", help: "Show all about homes", group: BASIC, count: (0, MANY), run: inspect::run },
    Verb { name: "status", arguments: "[USER…]", help: "Show how things are with homes: space, sessions, what opens them, their last lock", group: BASIC, count: (0, MANY), run: status::run },
    Verb { name: "create", arguments: "USER", help: "Make a home", group: BASIC, count: (0, 1), run: create::run },
    Verb { name: "update", arguments: "[USER]", help: "Change settings of a home", group: BASIC, count: (0, 1), run: update::run },
    Verb { name: "passwd", arguments: "[USER]", help: "Change the password", group: BASIC, count: (0, 1), run: passwd::run },
    Verb { name: "resize", arguments: "USER [SIZE]", help: "Resize a home", group: BASIC, count: (1, 2), run: resize::run },
    Verb { name: "snapshot", arguments: "USER [COMMAND…]", help: "Keep what an open home is like, and have it so again: list, make [LABEL], show SNAPSHOT [FOLDER], restore SNAPSHOT [PATH], delete SNAPSHOT…", group: BASIC, count: (1, MANY), run: snapshot::run },
    Verb { name: "backup", arguments: "USER [COMMAND…]", help: "Hand what is in a home to restic, and make a home anew of that: make, list, restore [BACKUP]", group: BASIC, count: (1, MANY), run: backup::run },
    Verb { name: "remove", arguments: "USER…", help: "Delete homes with all that is in them", group: BASIC, count: (1, MANY), run: simple::remove },
    Verb { name: "activate", arguments: "USER…", help: "Open homes", group: ADVANCED, count: (1, MANY), run: activate::activate },
    Verb { name: "deactivate", arguments: "USER…", help: "Close homes", group: ADVANCED, count: (1, MANY), run: deactivate::run },
    Verb { name: "deactivate-all", arguments: "", help: "Close all homes", group: ADVANCED, count: (0, 0), run: simple::deactivate_all },
    Verb { name: "eject", arguments: "USER…", help: "Close homes on sticks and disks, have these used no more, and say when they may be pulled out", group: ADVANCED, count: (1, MANY), run: eject::run },
    Verb { name: "with", arguments: "USER [COMMAND…]", help: "Run a command while the home is open", group: ADVANCED, count: (1, MANY), run: with::run },
    Verb { name: "authenticate", arguments: "[USER…]", help: "Check a password", group: ADVANCED, count: (0, MANY), run: activate::authenticate },
    Verb { name: "adopt", arguments: "PATH…", help: "Make the homes in these files or folders known, where they are and whatever images are called", group: MIGRATION, count: (1, MANY), run: migrate::adopt },
    Verb { name: "trust", arguments: "USER", help: "Believe what the record of a home claims that a stranger has signed, after showing it", group: MIGRATION, count: (1, 1), run: trust::run },
    Verb { name: "distrust", arguments: "USER", help: "Believe nothing of that any more", group: MIGRATION, count: (1, 1), run: trust::withdraw },
    Verb { name: "export", arguments: "USER [FILE]", help: "Write a closed home, encrypted as it is, to a file or pipe", group: MIGRATION, count: (1, 2), run: carry::export },
    Verb { name: "import", arguments: "[FILE]", help: "Take a home from there, whole or not at all", group: MIGRATION, count: (0, 1), run: carry::import },
    Verb { name: "send", arguments: "USER HOST", help: "Send a closed home to another machine over ssh; only what is missing there", group: MIGRATION, count: (2, 2), run: carry::to_host },
    Verb { name: "receive", arguments: "", help: "The other end of send, which runs it", group: MIGRATION, count: (0, 0), run: carry::there },
    Verb { name: "sync", arguments: "USER [HOST|FOLDER…]", help: "Make an open home the same as on another machine where it is open, too, over ssh; without HOST: list what both had changed, and so is kept twice; --take: choose", group: MIGRATION, count: (1, MANY), run: sync::run },
    Verb { name: "convert", arguments: "USER", help: "Make a home of a classic account (/etc/passwd), which is kept until it is discarded; --undo: the account again", group: MIGRATION, count: (1, 1), run: convert::run },
    Verb { name: "release", arguments: "USER", help: "Make a classic account of a home, which is kept until it is discarded; --undo: the home again", group: MIGRATION, count: (1, 1), run: release::run },
    Verb { name: "register", arguments: "[FILE…]", help: "Make user records known", group: MIGRATION, count: (0, MANY), run: migrate::register },
    Verb { name: "unregister", arguments: "USER…", help: "Forget user records, keep the storage", group: MIGRATION, count: (1, MANY), run: simple::unregister },
    Verb { name: "fixate", arguments: "USER…", help: "Keep the record of homes that were found", group: MIGRATION, count: (1, MANY), run: activate::fixate },
    Verb { name: "firstboot", arguments: "", help: "Make the users that credentials of the service name, and ask for one where there is none", group: MIGRATION, count: (0, 0), run: firstboot::run },
    Verb { name: "list-signing-keys", arguments: "", help: "List the keys user records may be signed with", group: KEYS, count: (0, 0), run: keys::list },
    Verb { name: "get-signing-key", arguments: "[NAME…]", help: "Print public keys", group: KEYS, count: (0, MANY), run: keys::print },
    Verb { name: "add-signing-key", arguments: "[FILE…]", help: "Trust public keys", group: KEYS, count: (0, MANY), run: keys::add },
    Verb { name: "remove-signing-key", arguments: "NAME…", help: "Do not trust public keys any more", group: KEYS, count: (1, MANY), run: keys::remove },
    Verb { name: "lock", arguments: "USER…", help: "Lock open homes until the password is given", group: LOCK, count: (1, MANY), run: simple::lock },
    Verb { name: "unlock", arguments: "USER…", help: "Unlock homes", group: LOCK, count: (1, MANY), run: activate::unlock },
    Verb { name: "lock-all", arguments: "", help: "Lock all open homes", group: LOCK, count: (0, 0), run: simple::lock_all },
    Verb { name: "inhibit-lock", arguments: "USER [COMMAND…]", help: "Leave a home open at sleep while a command runs; needs --why= and --for=", group: LOCK, count: (1, MANY), run: inhibit::run },
    Verb { name: "inhibitors", arguments: "", help: "List who has homes left open at sleep", group: LOCK, count: (0, 0), run: inhibit::list },
    Verb { name: "security", arguments: "", help: "Show what weakens locks on this machine", group: LOCK, count: (0, 0), run: security::run },
    Verb { name: "check", arguments: "USER…", help: "Tell what is right and wrong with homes; ends with 0: sound, 1: wrong, but it opens, 2: broken, 3: not looked at", group: DAMAGE, count: (1, MANY), run: check::run },
    Verb { name: "repair", arguments: "USER", help: "Rebuild what can be rebuilt of a home, after saying what", group: DAMAGE, count: (1, 1), run: repair::repair },
    Verb { name: "rescue", arguments: "USER [DIRECTORY]", help: "Open what is left of a home, to be read only", group: DAMAGE, count: (1, 2), run: repair::rescue },
    Verb { name: "rebalance", arguments: "", help: "Share the free space among the homes", group: OTHER, count: (0, 0), run: simple::rebalance },
    Verb { name: "help", arguments: "", help: "Show this help", group: OTHER, count: (0, 0), run: help },
];

fn help(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    ctx.say(&crate::options::describe::help());
    Ok(0)
}

/// Does it for each; all are tried, the first error counts.
pub fn each(ctx: &Context<'_>, names: &[&str], mut one: impl FnMut(&str) -> Result<(), Failure>) -> Outcome {
    let mut code = 0;
    for name in names {
        if let Err(failure) = one(name) {
            ctx.complain(&failure, name);
            code = 1;
        }
    }
    Ok(code)
}
