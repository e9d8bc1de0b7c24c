//! What is seen: a box in the middle, made of text. A picture of a state, nothing else.

use super::glyphs::Glyphs;
use crate::catalogue::{Catalogue, Id, Text, texts};
use crate::measure::{cut, end, spread, width, wrap, wrap_things};
use crate::settings::Colours;

/// A user whose home is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The name.
    pub user: String,
    /// The name for people, where there is one.
    pub called: Option<String>,
    /// When it was locked, in words.
    pub since: String,
}

/// Everything there is to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The machine.
    pub host: String,
    /// The time of day.
    pub time: String,
    /// Who is locked.
    pub waiting: Vec<Waiting>,
    /// Which of them is asked.
    pub chosen: usize,
    /// What is asked.
    pub question: Text,
    /// What has been typed, as it may be shown.
    pub answer: String,
    /// Which keyboard layout is in force.
    pub keyboard: String,
    /// Whether Caps Lock is on.
    pub caps_lock: bool,
    /// What was told.
    pub messages: Vec<Text>,
    /// What keys do.
    pub keys: Vec<(String, Id)>,
    /// In which language.
    pub catalogue: Catalogue,
    /// In which letters.
    pub glyphs: Glyphs,
    /// In which colours.
    pub colours: Colours,
}

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// The box is not wider than this.
const WIDEST: usize = 76;
/// Of many users, so many are shown at once.
const USERS: usize = 6;
/// What is typed has at least so many columns.
const TYPED: usize = 8;
/// Lines of a message that are shown.
const LINES: usize = 4;

/// One line inside of the box.
struct Line {
    text: String,
    bold: bool,
}

impl Line {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), bold: false }
    }

    fn bold(text: impl Into<String>) -> Self {
        Self { text: text.into(), bold: true }
    }
}

impl View {
    /// The bytes that draw it on a terminal of that size. The cursor ends where the next letter comes.
    pub fn draw(&self, size: Size) -> String {
        let inner = WIDEST.min(size.width.max(12)) - 4;
        let (lines, field) = self.lines(inner);
        let height = lines.len() + 2;
        let (top, left) = (size.height.saturating_sub(height) / 2, size.width.saturating_sub(inner + 4) / 2);
        // Nothing is cleared at once: a screen that flickers looks broken.
        let plain = format!("\x1b[0;3{};4{}m", self.colours.text, self.colours.ground);
        let mut text = format!("\x1b[?25l{plain}\x1b[H");
        let empty = "\x1b[K\r\n";
        text.push_str(&empty.repeat(top));
        let margin = " ".repeat(left);
        let edge = "─".repeat(inner + 2);
        text.push_str(&format!("{margin}┌{edge}┐{empty}"));
        for line in &lines {
            let (on, off) = if line.bold { ("\x1b[1m", plain.as_str()) } else { ("", "") };
            let room = " ".repeat(inner - width(&line.text).min(inner));
            text.push_str(&format!("{margin}│ {on}{}{off}{room} │{empty}", cut(&line.text, inner)));
        }
        text.push_str(&format!("{margin}└{edge}┘\x1b[J"));
        let (row, column) = (top + 2 + field, left + 3 + width(&lines[field].text).min(inner));
        text.push_str(&format!("\x1b[{row};{column}H\x1b[?25h"));
        text
    }

    /// The lines inside, and which of them the cursor is in.
    fn lines(&self, room: usize) -> (Vec<Line>, usize) {
        let mut lines = vec![Line::bold(spread(&clean(&self.host), &self.time, room)), Line::plain("")];
        let first = self.chosen.saturating_sub(USERS - 1);
        for (index, waiting) in self.waiting.iter().enumerate().skip(first).take(USERS) {
            let chosen = index == self.chosen;
            let mark = if chosen && self.waiting.len() > 1 { "> " } else { "  " };
            lines.push(Line { text: format!("{mark}{}", self.who(waiting)), bold: chosen });
        }
        lines.push(Line::plain(""));
        let mut question = wrap(&self.say(&self.question), room);
        // What is typed has a line of its own where the question leaves it no room.
        let fits = question.last().is_some_and(|last| width(last) + TYPED <= room);
        let last = if fits { question.pop().unwrap_or_default() } else { String::new() };
        lines.extend(question.into_iter().map(Line::plain));
        let field = lines.len();
        lines.push(Line::plain(with_answer(&last, &clean(&self.answer), room)));
        lines.push(self.keyboard(room));
        lines.push(Line::plain(""));
        for message in &self.messages {
            lines.extend(wrap(&self.say(message), room).into_iter().take(LINES).map(Line::bold));
        }
        lines.push(Line::plain(""));
        let keys: Vec<String> =
            self.keys.iter().map(|(key, what)| format!("{key} {}", self.say(&Text::from(*what)))).collect();
        lines.extend(wrap_things(&keys, "   ", room).into_iter().map(Line::plain));
        (lines, field)
    }

    /// In words and letters that can be read here, and that do not move the cursor.
    fn say(&self, text: &Text) -> String {
        self.glyphs.simple(&clean(&self.catalogue.say(text)))
    }

    /// Who is locked, by the name for people as well where its letters can be shown.
    fn who(&self, waiting: &Waiting) -> String {
        let called = waiting.called.as_deref().filter(|name| self.glyphs.can_show(name));
        let user = match called {
            Some(name) => format!("{name} ({})", waiting.user),
            None => waiting.user.clone(),
        };
        self.say(&texts::LOCKED_SINCE.with("user", user).with("since", &waiting.since))
    }

    /// What the keys become.
    fn keyboard(&self, room: usize) -> Line {
        let keyboard = match self.keyboard.as_str() {
            "" => String::new(),
            layout => self.say(&texts::KEYBOARD.with("layout", layout)),
        };
        if self.caps_lock {
            Line::bold(spread(&keyboard, &self.say(&texts::CAPS_LOCK.into()), room))
        } else {
            Line::plain(keyboard)
        }
    }
}

/// The question and the end of what was typed.
fn with_answer(question: &str, answer: &str, room: usize) -> String {
    let left = room.saturating_sub(width(question) + 2);
    let between = if question.is_empty() { "" } else { " " };
    format!("{question}{between}{}", end(answer, left))
}

/// Without what would move the cursor: texts come from modules and names.
fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
