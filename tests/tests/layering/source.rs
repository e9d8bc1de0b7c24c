//! A source file, read the way the compiler does as far as needed: code and comments apart, the contents of
//! strings left out, the code as tokens.
//!
//! Not here: the expansion of macros. What a macro of another crate makes is not seen.

use std::iter::Peekable;
use std::str::Chars;

/// A line, taken apart.
#[derive(Default)]
pub struct Line {
    /// The code; strings are empty.
    pub code: String,
    /// The comment, with its slashes.
    pub comment: String,
}

/// A word, a number, `::`, or one other sign.
pub struct Token {
    pub text: String,
    /// Counted from 1.
    pub line: usize,
}

/// A file.
pub struct Source {
    /// Relative to the project's top folder.
    pub path: String,
    pub lines: Vec<Line>,
    pub tokens: Vec<Token>,
}

impl Source {
    pub fn new(path: impl Into<String>, text: &str) -> Self {
        let lines = take_apart(text);
        let tokens = tokens(&lines);
        Self { path: path.into(), lines, tokens }
    }

    /// The token's text; empty where there is none.
    pub fn text(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &token.text)
    }

    /// The index of the bracket that closes the one at `open`, or of the end.
    pub fn closing(&self, open: usize) -> usize {
        let mut depth = 0;
        for index in open..self.tokens.len() {
            match self.text(index) {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return index;
            }
        }
        self.tokens.len()
    }

    /// A finding, with its place.
    pub fn finding(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// Whether the text is a name or a keyword.
pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    lines: Vec<Line>,
}

fn take_apart(text: &str) -> Vec<Line> {
    let mut reader = Reader { rest: text.chars().peekable(), lines: vec![Line::default()] };
    while let Some(c) = reader.rest.next() {
        match c {
            '/' if reader.rest.peek() == Some(&'/') => reader.line_comment(),
            '/' if reader.rest.peek() == Some(&'*') => reader.block_comment(),
            '"' => reader.string(),
            '#' if reader.is_raw() => reader.raw_string(),
            '\'' => reader.quote(),
            c => reader.code(c),
        }
    }
    reader.lines
}

impl Reader<'_> {
    fn line(&mut self) -> &mut Line {
        let last = self.lines.len() - 1;
        &mut self.lines[last]
    }

    fn code(&mut self, c: char) {
        match c {
            '\n' => self.lines.push(Line::default()),
            c => self.line().code.push(c),
        }
    }

    fn comment(&mut self, c: char) {
        match c {
            '\n' => self.lines.push(Line::default()),
            c => self.line().comment.push(c),
        }
    }

    /// Skips a sign, keeping count of the lines.
    fn skip(&mut self) -> Option<char> {
        let c = self.rest.next();
        if c == Some('\n') {
            self.lines.push(Line::default());
        }
        c
    }

    fn line_comment(&mut self) {
        self.comment('/');
        while let Some(c) = self.rest.next_if(|c| *c != '\n') {
            self.comment(c);
        }
    }

    fn block_comment(&mut self) {
        let (mut depth, mut before) = (1, self.rest.next());
        while depth > 0 {
            let Some(c) = self.rest.next() else { return };
            depth += match (before, c) {
                (Some('/'), '*') => 1,
                (Some('*'), '/') => -1,
                _ => 0,
            };
            self.comment(c);
            // `*/*` closes and does not open again.
            before = (before != Some('*') || c != '/').then_some(c);
        }
    }

    fn string(&mut self) {
        self.line().code.push_str("\"\"");
        while let Some(c) = self.skip() {
            match c {
                '\\' => drop(self.skip()),
                '"' => return,
                _ => {}
            }
        }
    }

    /// After `#`: whether it begins a raw string; `r#type` does not.
    fn is_raw(&mut self) -> bool {
        let code = &self.line().code;
        let word = code.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let prefixed = ["r", "br", "cr"].contains(&word);
        prefixed && self.rest.clone().find(|c| *c != '#') == Some('"')
    }

    fn raw_string(&mut self) {
        let mut hashes = 1;
        while self.rest.next_if_eq(&'#').is_some() {
            hashes += 1;
        }
        self.line().code.push_str("\"\"");
        self.rest.next();
        let mut seen = None;
        while let Some(c) = self.skip() {
            seen = match (c, seen) {
                ('"', _) => Some(0),
                ('#', Some(count)) => Some(count + 1),
                _ => None,
            };
            if seen == Some(hashes) {
                return;
            }
        }
    }

    /// A character or a lifetime. The characters' own signs are left out.
    fn quote(&mut self) {
        let mut ahead = self.rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('\\'), _) => {
                self.rest.next();
                self.rest.next();
                while self.rest.next().is_some_and(|c| c != '\'') {}
            }
            (Some(_), Some('\'')) => drop((self.skip(), self.skip())),
            // The name of a lifetime is no word.
            _ => while self.rest.next_if(|c| c.is_alphanumeric() || *c == '_').is_some() {},
        }
        self.line().code.push('\'');
    }
}

fn tokens(lines: &[Line]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let mut rest = line.code.as_str();
        while let Some(c) = rest.chars().next() {
            let length = match c {
                _ if rest.starts_with("::") => 2,
                _ if rest.starts_with("r#") => 2 + word_length(&rest[2..]),
                c if is_of_word(c) => word_length(rest),
                c => c.len_utf8(),
            };
            let (text, after) = rest.split_at(length);
            if !c.is_whitespace() {
                tokens.push(Token { text: text.trim_start_matches("r#").to_owned(), line: index + 1 });
            }
            rest = after;
        }
    }
    tokens
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_length(text: &str) -> usize {
    text.find(|c| !is_of_word(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> String {
        let source = Source::new("x.rs", text);
        source.tokens.iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        assert_eq!(texts("a // unsafe\nb /* x /* unsafe */ y */ c"), "a b c");
        assert_eq!(
            texts(r##"f("a \" // unsafe", r#"b " unsafe"#, br"unsafe")"##),
            r#"f ( " " , r " " , br " " )"#
        );
        assert_eq!(texts("'\"' x '\\'' y '\\u{1f}' z &'static str"), "' x ' y ' z & ' str");
        assert_eq!(texts("a::r#type::<b>"), "a :: type :: < b >");
        assert_eq!(texts("r##\"x\"# unsafe\"## y"), "r \" \" y");
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let source = Source::new("x.rs", "\"a\nb\\\nc\" /* d\ne */ r#\"f\ng\"# h // i\nj");
        let h = source.tokens.iter().find(|token| token.text == "h").expect("there");
        assert_eq!((h.line, source.lines.len()), (5, 6));
        assert_eq!(source.lines[4].comment, "// i");
    }
}
