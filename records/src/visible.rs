//! Texts of others on somebody's terminal: names of files and processes, what records say.

use std::path::Path;

/// A stranger's text as it is safe to show: nothing in it moves the cursor, or turns the order of letters around.
pub fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .flat_map(|c| match is_hidden(c) {
            true => c.escape_unicode().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// The same for the path of a file that somebody else may have named.
pub fn visible_path(path: &Path) -> String {
    visible(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_and_does_nothing_to_the_terminal() {
        assert_eq!(visible_path(Path::new("Füße/a b")), "Füße/a b");
        assert_eq!(
            visible_path(Path::new("x\u{1b}[1A\u{1b}[2K\nIn the way:")),
            "x\\u{1b}[1A\\u{1b}[2K\\u{a}In the way:"
        );
        assert_eq!(visible("\u{9b}2J\u{202e}"), "\\u{9b}2J\\u{202e}");
    }
}
