//! Help and the man page, from the rows.

use super::{Effect, RECORD_ROWS, Row, TOOL_ROWS, Takes};
use crate::verb::{VERBS, Verb};
use clap::{Arg, ArgAction, Command};

/// What `--help` prints.
pub fn help() -> String {
    let mut text = String::from("homectl [OPTION…] VERB …\n\nMake, change and look at home areas.\n");
    for (group, _) in groups() {
        text.push_str(&format!("\n{group}:\n"));
        for verb in VERBS.iter().filter(|verb| verb.group == group) {
            text.push_str(&line(&format!("{} {}", verb.name, verb.arguments), verb.help));
        }
    }
    for (title, rows) in
        [("Options", TOOL_ROWS), ("Settings of the user record (an empty value removes one)", RECORD_ROWS)]
    {
        text.push_str(&format!("\n{title}:\n"));
        for row in rows.iter().filter(|row| !row.help.is_empty()) {
            text.push_str(&line(&names(row), row.help));
        }
    }
    text
}

fn groups() -> Vec<(&'static str, &'static Verb)> {
    let mut groups: Vec<(&str, &Verb)> = Vec::new();
    for verb in VERBS {
        if !verb.group.is_empty() && groups.iter().all(|(group, _)| *group != verb.group) {
            groups.push((verb.group, verb));
        }
    }
    groups
}

fn line(left: &str, right: &str) -> String {
    const COLUMN: usize = 38;
    let left = left.trim_end();
    if left.chars().count() > COLUMN - 2 {
        return format!("  {left}\n  {:COLUMN$}{right}\n", "");
    }
    format!("  {left:COLUMN$}{right}\n")
}

fn names(row: &Row) -> String {
    let short = row.short.map_or("   ".to_owned(), |letter| format!("-{letter} "));
    let long = match (row.long, row.value) {
        ("", _) => String::new(),
        (long, Takes::Nothing) => format!("--{long}"),
        (long, Takes::One(what)) => format!("--{long}={what}"),
        (long, Takes::Perhaps(what)) => format!("--{long}[={what}]"),
    };
    format!("{short}{long}")
}

/// The same as a clap command, for the man page: the parser does not use it.
pub fn command() -> Command {
    let shown = |rows: &'static [Row]| rows.iter().filter(|row| !row.help.is_empty()).map(argument);
    let verbs = VERBS.iter().map(|verb| {
        let mut command = Command::new(verb.name).about(verb.help);
        // Only where they have an effect.
        if matches!(verb.name, "create" | "update") {
            command = command.args(shown(RECORD_ROWS));
        }
        if verb.arguments.is_empty() {
            return command;
        }
        command.arg(Arg::new("arguments").num_args(0..).value_name(verb.arguments))
    });
    Command::new("homectl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Make, change and look at home areas")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(shown(TOOL_ROWS).map(|argument| argument.global(true)))
        .args(shown(RECORD_ROWS))
        .subcommands(verbs)
}

fn argument(row: &'static Row) -> Arg {
    let id = if row.long.is_empty() { row.help } else { row.long };
    let mut argument = Arg::new(id).help(row.help);
    if !row.long.is_empty() {
        argument = argument.long(row.long).visible_aliases(row.aliases.iter().copied());
    }
    if let Some(letter) = row.short {
        argument = argument.short(letter);
    }
    let heading = match row.effect {
        Effect::Tool(_) => "Options",
        Effect::Set { .. } | Effect::Special(_) => "Settings",
    };
    match row.value {
        Takes::Nothing => argument.action(ArgAction::SetTrue),
        Takes::One(what) => argument.value_name(what).action(ArgAction::Append),
        Takes::Perhaps(what) => {
            argument.value_name(what).action(ArgAction::Append).num_args(0..=1).require_equals(true)
        }
    }
    .help_heading(heading)
}

/// What `--generate=` prints: the man page, or completions for a shell.
pub fn generate(what: &str) -> Result<Vec<u8>, String> {
    if what == "man" {
        let mut out = Vec::new();
        clap_mangen::Man::new(command()).render(&mut out).map_err(|e| e.to_string())?;
        out.extend_from_slice(include_bytes!("tokens.roff"));
        out.extend_from_slice(include_bytes!("backups.roff"));
        out.extend_from_slice(include_bytes!("sync.roff"));
        return Ok(out);
    }
    let script = crate::complete::script(what);
    script
        .map(|text| text.as_bytes().to_vec())
        .ok_or_else(|| "--generate= is one of man, bash, zsh, fish".to_owned())
}
