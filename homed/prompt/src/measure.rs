//! Text in columns: how wide it is, and where it is broken. Letters of Chinese and Japanese take two columns on every terminal, also
//! where the font has none of them.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// No line begins with these.
const CLOSING: &str = "。、，．！？：；）」』】…ー";

/// The columns it takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// As much of it as has room.
pub fn cut(text: &str, room: usize) -> String {
    let mut taken = 0;
    text.chars()
        .take_while(|letter| {
            taken += letter.width().unwrap_or(0);
            taken <= room
        })
        .collect()
}

/// As much of its end as has room.
pub fn end(text: &str, room: usize) -> String {
    let mut taken = 0;
    let from_behind = text.chars().rev().take_while(|letter| {
        taken += letter.width().unwrap_or(0);
        taken <= room
    });
    let letters: Vec<char> = from_behind.collect();
    letters.into_iter().rev().collect()
}

/// One at the left edge and one at the right.
pub fn spread(left: &str, right: &str, room: usize) -> String {
    let left = cut(left, room.saturating_sub(width(right) + 1));
    let between = room.saturating_sub(width(&left) + width(right));
    format!("{left}{}{right}", " ".repeat(between))
}

/// Lines of no more than so many columns, broken between words, and in scripts without spaces between letters.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        for (index, piece) in pieces(word).into_iter().enumerate() {
            add(&mut lines, &piece, if index == 0 { " " } else { "" }, room);
        }
    }
    lines
}

/// Lines of things that are not broken themselves.
pub fn wrap_things(things: &[String], between: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    things.iter().for_each(|thing| add(&mut lines, thing, between, room));
    lines
}

fn add(lines: &mut Vec<String>, piece: &str, between: &str, room: usize) {
    match lines.last_mut() {
        Some(line) if width(line) + width(between) + width(piece) <= room => {
            line.push_str(between);
            line.push_str(piece);
        }
        _ => lines.push(cut(piece, room)),
    }
}

/// A word, in pieces between which a line may end.
fn pieces(word: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut before_is_wide = false;
    for letter in word.chars() {
        let wide = letter.width() == Some(2);
        match pieces.last_mut() {
            Some(piece) if CLOSING.contains(letter) || !(wide || before_is_wide) => piece.push(letter),
            _ => pieces.push(letter.to_string()),
        }
        before_is_wide = wide;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_letters_take_two_columns() {
        assert_eq!((cut("日本語", 5), end("日本語", 5), width("日本a")), ("日本".into(), "本語".into(), 5));
        assert_eq!(spread("日本", "x", 8), "日本   x");
        assert_eq!((cut("abc", 2), end("abc", 2)), ("ab".into(), "bc".into()));
    }

    #[test]
    fn lines_end_between_words_or_between_letters_of_scripts_without_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("再起動します。F4 を押す", 9), ["再起動し", "ます。F4", "を押す"]);
        assert_eq!(wrap("ab。", 3), ["ab"]);
    }
}
