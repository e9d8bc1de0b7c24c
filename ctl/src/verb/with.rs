//! `with`: runs a command while the home is open.

use super::Outcome;
use crate::bus::{Failure, Order, Suspend, Who};
use crate::context::Context;
use crate::options::values::boolean;
use crate::prompt::SECRET_VARIABLES;
use records::{Record, Refusal, Sections};
use std::process::{Command, ExitStatus};

/// The exit code when the command could not be started.
const NOT_STARTED: u8 = 255;
/// That when it was ended by a signal. The original's.
const KILLED: u8 = 1;

/// `with USER [COMMAND…]`
pub fn run(ctx: &Context<'_>, arguments: &[&str]) -> Outcome {
    ctx.start_agent();
    let name = arguments[0];
    let allowed = std::env::var("SYSTEMD_PLEASE_SUSPEND_HOME").is_ok_and(|text| boolean(&text) == Ok(true));
    let suspend = if allowed { Suspend::Allowed } else { Suspend::Prevented };
    let talk = ctx.talk(name);
    let reference =
        talk.insist(&mut talk.ready(), |handed| ctx.daemon.acquire(name, &handed.argument, suspend))?;
    let code = inside(ctx, name, &arguments[1..]);
    drop(reference);
    match ctx.daemon.order("ReleaseHome", Order::Text(name)) {
        Err(failure) if failure.is(Refusal::HomeBusy) => {
            ctx.asker.notice(&format!("{name}: the home stays open: others use it."))
        }
        Err(failure) => {
            ctx.complain(&failure, name);
            return Ok(if code == 0 { 1 } else { code });
        }
        Ok(()) => {}
    }
    Ok(code)
}

fn inside(ctx: &Context<'_>, name: &str, words: &[&str]) -> u8 {
    match directory(ctx, name) {
        Ok(home) => run_command(ctx, words, Some(&home)),
        Err(failure) => {
            ctx.complain(&failure, name);
            NOT_STARTED
        }
    }
}

/// Where the home is: the name may be an alias, or have a realm.
fn directory(ctx: &Context<'_>, name: &str) -> Result<String, Failure> {
    let reply = ctx.daemon.record(Who::Name(name))?;
    let record = Record::parse(&reply.json, Sections::OWNER).map_err(|e| Failure::say(e.to_string()))?;
    Ok(record.on(&ctx.machine).effective_home_directory())
}

/// Runs a command, or the caller's shell where there is none, in a folder; its exit code.
pub fn run_command(ctx: &Context<'_>, words: &[&str], folder: Option<&str>) -> u8 {
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let (program, rest) =
        words.split_first().map_or((shell.as_str(), &[][..]), |(program, rest)| (*program, rest));
    let mut command = Command::new(program);
    command.args(rest);
    folder.map(|folder| command.current_dir(folder));
    SECRET_VARIABLES.iter().for_each(|variable| {
        command.env_remove(variable);
    });
    match command.status() {
        Ok(status) => exit_code(status),
        Err(e) => {
            ctx.asker.notice(&format!("{program}: {e}"));
            NOT_STARTED
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(KILLED)
}
