//! The conversation on one terminal, until nobody is locked that it is for.

use crate::power::Wish;
use crate::settings::Settings;
use crate::sys::pam::{self, Echo};
use crate::terminal::Terminal;
use crate::{Ended, sessions};
use std::path::Path;

/// What can be typed in the place of a user's name.
const COMMANDS: [(&str, Wish, &str); 2] =
    [("sleep", Wish::Sleep, "put the machine to sleep again"), ("off", Wish::PowerOff, "shut it down")];

/// Asks on the terminal for these users; for all where none is named.
pub fn run(device: &str, users: &[String]) -> Ended<()> {
    let mut terminal = Terminal::open(Path::new(device), users)?;
    // Another program has been writing here.
    terminal.write("\x1b[0m\x1b[H\x1b[2J");
    let mut asked = false;
    loop {
        let waiting = terminal.waiting();
        let user = match waiting.as_slice() {
            [] => return Ok(()),
            // One alone is asked for the password at once.
            [only] if !asked => only.clone(),
            [first, ..] => match choose(&mut terminal, first, &waiting)? {
                Some(user) => user,
                None => continue,
            },
        };
        asked = true;
        terminal.write(&format!("\n{user} is locked: the key of the home is not in memory.\n"));
        match pam::authenticate(&user, device, &mut terminal) {
            Ok(()) => {
                terminal.write(&format!("{user} is unlocked.\n"));
                sessions::give_back(&user, 0);
            }
            Err(_) if !terminal.waiting().contains(&user) => {
                terminal.write(&format!("\n{user} was unlocked elsewhere.\n"));
            }
            Err(why) => terminal.write(&format!("Still locked ({why}).\n")),
        }
    }
}

/// Who is to be unlocked; `None`: something else was done, or not understood.
fn choose(terminal: &mut Terminal, first: &str, waiting: &[String]) -> Ended<Option<String>> {
    let offers = Settings::read().offers;
    let commands: Vec<_> = COMMANDS.iter().filter(|(_, wish, _)| offers.contains(wish)).collect();
    terminal.write(&menu(waiting, &commands));
    let Some(answer) = terminal.line("Unlock: ", Echo::On) else {
        return if terminal.waiting().is_empty() { Ok(None) } else { Err("the terminal has gone".into()) };
    };
    let answer = answer.open_text().unwrap_or_default().trim().to_owned();
    if answer.is_empty() {
        return Ok(Some(first.to_owned()));
    }
    if waiting.contains(&answer) {
        return Ok(Some(answer));
    }
    match commands.iter().find(|(word, ..)| *word == answer) {
        Some((_, wish, _)) => {
            if let Err(why) = wish.begin() {
                terminal.write(&format!("Cannot {}: {why}.\n", wish.in_words()));
            }
        }
        None => terminal.write("Nobody of that name is locked here.\n"),
    }
    Ok(None)
}

fn menu(waiting: &[String], commands: &[&(&str, Wish, &str)]) -> String {
    let names = waiting.join(", ");
    let commands: String = commands.iter().map(|(word, _, what)| format!("  {word:<10} {what}\n")).collect();
    format!("\nLocked: {names}\n  Enter      unlock {}\n  a name     unlock another\n{commands}", waiting[0])
}
