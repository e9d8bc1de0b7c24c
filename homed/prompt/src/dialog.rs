//! The conversation on one terminal, until nobody is locked that it is for.

use crate::catalogue::{Catalogue, Id, texts};
use crate::people::People;
use crate::power::Wish;
use crate::settings::Settings;
use crate::sys::pam::{self, Echo};
use crate::terminal::Terminal;
use crate::{Ended, measure, sessions};
use std::path::Path;

/// What can be typed in the place of a user's name.
const COMMANDS: [(&str, Wish, Id); 2] =
    [("sleep", Wish::Sleep, texts::MENU_SLEEP), ("off", Wish::PowerOff, texts::MENU_OFF)];
/// The column of the menu that says what is to be typed.
const TYPED: usize = 10;

/// Asks on the terminal for these users; for all where none is named.
pub fn run(device: &str, users: &[String]) -> Ended<()> {
    let mut terminal = Terminal::open(Path::new(device), users)?;
    let mut people = People::of_daemon()?;
    // Another program has been writing here.
    terminal.write("\x1b[0m\x1b[H\x1b[2J");
    let mut asked = false;
    loop {
        let waiting = terminal.waiting();
        if let Some(first) = waiting.first() {
            terminal.speak(people.wait(first).language);
        }
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
        terminal.speak(people.wait(&user).language);
        terminal.write("\n");
        terminal.say(&texts::LINE_LOCKED.with("user", &user));
        match pam::authenticate(&user, device, &mut terminal) {
            Ok(()) => {
                terminal.say(&texts::LINE_UNLOCKED.with("user", &user));
                sessions::give_back(&user, 0, false);
            }
            Err(_) if !terminal.waiting().contains(&user) => {
                terminal.write("\n");
                terminal.say(&texts::LINE_ELSEWHERE.with("user", &user));
            }
            Err(why) => terminal.say(&texts::STILL_LOCKED.because(&why)),
        }
    }
}

/// Who is to be unlocked; `None`: something else was done, or not understood.
fn choose(terminal: &mut Terminal, first: &str, waiting: &[String]) -> Ended<Option<String>> {
    let offers = Settings::read().offers;
    let commands: Vec<_> = COMMANDS.iter().filter(|(_, wish, _)| offers.contains(wish)).collect();
    terminal.write(&menu(terminal.catalogue(), waiting, &commands));
    let question = terminal.catalogue().word(texts::LINE_UNLOCK).to_owned() + " ";
    let Some(answer) = terminal.line(&question, Echo::On) else {
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
                terminal.say(&why);
            }
        }
        None => terminal.say(&texts::LINE_NOBODY.into()),
    }
    Ok(None)
}

fn menu(catalogue: &Catalogue, waiting: &[String], commands: &[&(&str, Wish, Id)]) -> String {
    let word = |id: Id| catalogue.word(id).to_owned();
    let unlock = catalogue.say(&texts::MENU_UNLOCK.with("user", &waiting[0]));
    let mut rows = vec![(word(texts::MENU_ENTER), unlock), (word(texts::MENU_NAME), word(texts::MENU_OTHER))];
    rows.extend(commands.iter().map(|(typed, _, what)| ((*typed).to_owned(), word(*what))));
    let locked = catalogue.say(&texts::MENU_LOCKED.with("names", waiting.join(", ")));
    let row = |(typed, what): &(String, String)| {
        let room = " ".repeat(TYPED.saturating_sub(measure::width(typed)));
        format!("  {typed}{room} {what}\n")
    };
    format!("\n{locked}\n{}", rows.iter().map(row).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Language, Text};

    /// All that a serial terminal shows, as a file: `HOMED_GOLDEN=write` has it written anew.
    #[test]
    fn every_line_looks_as_it_should() {
        let waiting = ["alice", "bob"].map(str::to_owned);
        let commands: Vec<_> = COMMANDS.iter().collect();
        let mut lines = String::new();
        for language in Language::ALL {
            let catalogue = Catalogue::of(language);
            let told: Vec<Text> = [texts::LINE_LOCKED, texts::LINE_UNLOCKED, texts::LINE_ELSEWHERE]
                .map(|id| id.with("user", "alice"))
                .into_iter()
                .chain([texts::STILL_LOCKED.because("Permission denied"), texts::LINE_NOBODY.into()])
                .collect();
            let told: Vec<String> = told.iter().map(|text| catalogue.say(text)).collect();
            lines += &format!(
                "== {} ==\n{}\n{}",
                language.name(),
                told.join("\n"),
                menu(&catalogue, &waiting, &commands)
            );
            lines += &format!("{}\n\n", catalogue.word(texts::LINE_UNLOCK));
        }
        crate::golden::compare("lines", &lines);
    }
}
