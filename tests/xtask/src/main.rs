//! The project's own commands: `cargo xtask` lists them. One file per command; adding one is a row in [`COMMANDS`].
//!
//! Needs no C library, so that it starts on a fresh system and can install there what the rest needs.

mod bench;
mod check;
mod deb;
mod demo;
mod fuzz;
mod image;
mod prepare;
mod runner;
mod shell;
mod steps;
mod test;
mod upstream;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// A command: its name, what it does, and its function, which is given the words after the name.
struct Command {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command { name: "demo", help: "the main job, live, in disposable machines", run: demo::run },
    Command { name: "check", help: "format, lints and unit tests: before each commit", run: check::run },
    Command { name: "test", help: "every test; installs what is missing", run: test::run },
    Command { name: "deb", help: "the Debian package: [--quick] for the test machine", run: deb::run },
    Command { name: "bench", help: "our figures beside the original's, from one run", run: bench::run },
    Command {
        name: "fuzz",
        help: "made-up bytes for what reads foreign ones: [SECONDS] [TARGET…]",
        run: fuzz::run,
    },
    Command { name: "image", help: "build the test machine's images, nothing else", run: image::run },
    Command {
        name: "upstream",
        help: "systemd's own test of homed, with the original's programs and ours: [stable|testing] [COLUMN] [CASE…]",
        run: upstream::run,
    },
    Command {
        name: "shell",
        help: "open a disposable machine: [--full|--screen] [--image base|ours|peer|desktop]",
        run: shell::run,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[String]) -> Result<()> {
    let Some((name, rest)) = words.split_first() else {
        println!("usage: cargo xtask COMMAND\n");
        for command in COMMANDS {
            println!("  {:<8} {}", command.name, command.help);
        }
        return Ok(());
    };
    match find(name) {
        Some(command) => (command.run)(rest),
        None => bail!("there is no command {name:?}; `cargo xtask` lists what there is"),
    }
}

/// The command called `name`, for a command that needs another one's work.
fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}
