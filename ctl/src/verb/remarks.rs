//! What was done as it was said, and may not be what was meant: it is told, and nothing is refused for it.

use crate::bus::Who;
use crate::context::Context;
use crate::options::values::show_size;
use records::{Record, Sections};
use std::os::unix::fs::PermissionsExt;

/// After a home was made: it is smaller than was wished for, or its user's shell is not there.
pub fn on_new(ctx: &Context<'_>, name: &str, wished: &Record) {
    let Some(made) = record(ctx, name) else { return };
    let sizes = (wished.on(&ctx.machine).disk_size, made.on(&ctx.machine).disk_size);
    if let Some(text) = smaller(name, sizes) {
        ctx.asker.notice(&text);
    }
    on_shell(ctx, name, None, &made);
}

/// After a home was given another size, in bytes: it has more than was wished for.
pub fn on_size(ctx: &Context<'_>, name: &str, wished: u64) {
    let made = || record(ctx, name)?.on(&ctx.machine).disk_size;
    // 0 is the least that is possible.
    if let Some(text) =
        Some(wished).filter(|wished| *wished > 0).and_then(|wished| larger(name, wished, made()?))
    {
        ctx.asker.notice(&text);
    }
}

/// After a record was changed: its user's shell is another, and is not there.
pub fn on_change(ctx: &Context<'_>, name: &str, before: &Record) {
    if let Some(after) = record(ctx, name) {
        on_shell(ctx, name, Some(before), &after);
    }
}

fn record(ctx: &Context<'_>, name: &str) -> Option<Record> {
    let reply = ctx.daemon.record(Who::Name(name)).ok()?;
    Record::parse(&reply.json, Sections::OWNER).ok()
}

/// Sizes are in bytes: the one wished for, and the one that became of it.
fn smaller(name: &str, (wished, made): (Option<u64>, Option<u64>)) -> Option<String> {
    // Sizes of images are whole mebibytes.
    let (wished, made) = (wished?, made.filter(|made| *made > 0)?);
    (wished.saturating_sub(made) >= 1 << 20).then(|| {
        format!(
            "{name}: the home has {}: there is no room for {} where its image lies. It grows with: homectl resize",
            show_size(made),
            show_size(wished)
        )
    })
}

/// The same after a change of size, where the least is more than was wished for.
fn larger(name: &str, wished: u64, made: u64) -> Option<String> {
    (made.saturating_sub(wished) >= 1 << 20).then(|| {
        format!(
            "{name}: the home has {}: with its file system it cannot be smaller, and {} were wished for.",
            show_size(made),
            show_size(wished)
        )
    })
}

fn on_shell(ctx: &Context<'_>, name: &str, before: Option<&Record>, after: &Record) {
    let shell = after.on(&ctx.machine).shell;
    if before.is_some_and(|before| before.on(&ctx.machine).shell == shell) {
        return;
    }
    if let Some(shell) = shell.filter(|shell| !can_be_run(shell)) {
        ctx.asker.notice(&format!(
            "{name}: {shell} is no program on this machine: {name} cannot log in with it. \
             To change that: homectl update {name} --shell=PATH"
        ));
    }
}

fn can_be_run(path: &str) -> bool {
    let found = std::fs::metadata(path);
    // What cannot be looked at may be one all the same.
    found.map_or_else(
        |error| error.kind() != std::io::ErrorKind::NotFound,
        |found| found.is_file() && found.permissions().mode() & 0o111 != 0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_out_larger_is_told() {
        let told = larger("alice", 10 << 20, 274 << 20).expect("told");
        assert!(told.contains("has 274M") && told.contains("10M were wished for"), "{told}");
        for (wished, made) in [((274 << 20) + 5, 274 << 20), (300 << 20, 300 << 20), (u64::MAX, 300 << 20)] {
            assert_eq!(larger("alice", wished, made), None, "{wished}");
        }
    }

    #[test]
    fn what_came_out_smaller_is_told() {
        let (large, small) = (Some(5 << 40), Some(792 << 20));
        let told = smaller("alice", (large, small)).expect("told");
        assert!(told.contains("has 792M") && told.contains("room for 5T"), "{told}");
        for sizes in [(small, small), (small, large), (None, small), (large, None), (large, Some(0))] {
            assert_eq!(smaller("alice", sizes), None, "{sizes:?}");
        }
    }

    #[test]
    fn a_shell_is_a_file_that_can_be_run() {
        assert!(can_be_run("/bin/sh"));
        for path in ["/nowhere/sh", "/tmp", "/etc/passwd"] {
            assert!(!can_be_run(path), "{path}");
        }
    }
}
