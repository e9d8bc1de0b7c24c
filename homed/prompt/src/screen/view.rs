//! What is seen: a box in the middle, made of text. A picture of a state, nothing else.

/// A user whose home is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The name.
    pub user: String,
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
    pub question: String,
    /// What has been typed, as it may be shown.
    pub answer: String,
    /// Which keyboard layout is in force.
    pub keyboard: String,
    /// Whether Caps Lock is on.
    pub caps_lock: bool,
    /// What was told.
    pub messages: Vec<String>,
    /// What keys do.
    pub keys: Vec<(String, &'static str)>,
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
        let mut text = String::from("\x1b[?25l\x1b[0m\x1b[H");
        let empty = "\x1b[K\r\n";
        text.push_str(&empty.repeat(top));
        let margin = " ".repeat(left);
        let edge = "─".repeat(inner + 2);
        text.push_str(&format!("{margin}┌{edge}┐{empty}"));
        for line in &lines {
            let (on, off) = if line.bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
            let room = " ".repeat(inner - line.text.chars().count().min(inner));
            text.push_str(&format!("{margin}│ {on}{}{off}{room} │{empty}", cut(&line.text, inner)));
        }
        text.push_str(&format!("{margin}└{edge}┘\x1b[J"));
        let (row, column) = (top + 2 + field, left + 3 + lines[field].text.chars().count().min(inner));
        text.push_str(&format!("\x1b[{row};{column}H\x1b[?25h"));
        text
    }

    /// The lines inside, and which of them the cursor is in.
    fn lines(&self, width: usize) -> (Vec<Line>, usize) {
        let mut lines = vec![Line::bold(spread(&clean(&self.host), &self.time, width)), Line::plain("")];
        let first = self.chosen.saturating_sub(USERS - 1);
        for (index, waiting) in self.waiting.iter().enumerate().skip(first).take(USERS) {
            let text = format!("{} is locked since {}", clean(&waiting.user), waiting.since);
            let chosen = index == self.chosen;
            let mark = if chosen && self.waiting.len() > 1 { "> " } else { "  " };
            lines.push(Line { text: format!("{mark}{text}"), bold: chosen });
        }
        lines.push(Line::plain(""));
        let mut question = wrap(&clean(&self.question), width);
        let last = question.pop().unwrap_or_default();
        lines.extend(question.into_iter().map(Line::plain));
        let field = lines.len();
        lines.push(Line::plain(with_answer(&last, &clean(&self.answer), width)));
        lines.push(self.keyboard(width));
        lines.push(Line::plain(""));
        for message in &self.messages {
            lines.extend(wrap(&clean(message), width).into_iter().take(LINES).map(Line::bold));
        }
        lines.push(Line::plain(""));
        let keys: Vec<String> = self.keys.iter().map(|(key, what)| format!("{key} {what}")).collect();
        lines.extend(wrap_words(&keys, "   ", width).into_iter().map(Line::plain));
        (lines, field)
    }

    /// What the keys become.
    fn keyboard(&self, width: usize) -> Line {
        let keyboard = clean(&self.keyboard);
        if self.caps_lock {
            Line::bold(spread(&keyboard, "Caps Lock is on", width))
        } else {
            Line::plain(keyboard)
        }
    }
}

/// The question and the end of what was typed.
fn with_answer(question: &str, answer: &str, width: usize) -> String {
    let question = cut(question, width.saturating_sub(8));
    let room = width.saturating_sub(question.chars().count() + 2);
    let all: Vec<char> = answer.chars().collect();
    let end: String = all[all.len() - all.len().min(room)..].iter().collect();
    format!("{question} {end}")
}

/// One at the left edge and one at the right.
fn spread(left: &str, right: &str, width: usize) -> String {
    let left = cut(left, width.saturating_sub(right.chars().count() + 1));
    let room = width.saturating_sub(left.chars().count() + right.chars().count());
    format!("{left}{}{right}", " ".repeat(room))
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    wrap_words(&words, " ", width)
}

fn wrap_words(words: &[String], between: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + between.len() + word.chars().count() <= width => {
                line.push_str(between);
                line.push_str(word);
            }
            _ => lines.push(cut(word, width)),
        }
    }
    lines
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

/// Without what would move the cursor: texts come from modules and names.
pub fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
