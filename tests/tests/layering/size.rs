//! How long a file and a function may be, and how a file may not be called.

use super::source::{Source, is_word};

/// Most lines of a file.
const FILE: usize = 400;
/// Most lines of a function, from its `fn` to its last bracket.
pub const FUNCTION: usize = 60;
/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "misc", "common", "helper", "helpers"];

/// Whatever is too long.
pub fn check(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = source.lines.len() - usize::from(source.lines.last().is_some_and(is_empty));
    if lines > FILE {
        wrong.push(source.finding(lines, &format!("more than {FILE} lines")));
    }
    for (name, start, length) in functions(source) {
        if length > FUNCTION {
            wrong.push(source.finding(start, &format!("{name} has {length} lines, more than {FUNCTION}")));
        }
    }
    wrong
}

fn is_empty(line: &super::source::Line) -> bool {
    line.code.is_empty() && line.comment.is_empty()
}

/// Name, first line and number of lines of each function that has a body.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let mut functions = Vec::new();
    for (index, token) in source.tokens.iter().enumerate() {
        let name = source.text(index + 1);
        if token.text != "fn" || !is_word(name) {
            continue;
        }
        let mut body = index + 2;
        // `;` ends a declaration, unless it is inside of an array's type.
        while !["{", ";", ""].contains(&source.text(body)) {
            body = if ["(", "["].contains(&source.text(body)) { source.closing(body) + 1 } else { body + 1 };
        }
        if source.text(body) == "{"
            && let Some(end) = source.tokens.get(source.closing(body))
        {
            functions.push((name.to_owned(), token.line, end.line - token.line + 1));
        }
    }
    functions
}

/// A path with a name in it that says nothing.
pub fn check_name(path: &str) -> Option<String> {
    let empty = |name: &str| EMPTY_NAMES.contains(&name.split('.').next().unwrap_or_default());
    path.split('/').any(empty).then(|| format!("{path}: a name that says nothing of what is inside"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> usize {
        check(&Source::new("x.rs", text)).len()
    }

    #[test]
    fn a_long_file_is_refused() {
        assert_eq!(wrong(&"a;\n".repeat(FILE)), 0);
        assert_eq!(wrong(&"a;\n".repeat(FILE + 1)), 1);
        assert_eq!(wrong(&"// a\n".repeat(FILE + 1)), 1);
    }

    #[test]
    fn a_long_function_is_refused() {
        let body = |lines| format!("fn f(a: [u8; 2]) -> [u8; 3]\n{{\n{}}}\n", "if a {}\n".repeat(lines));
        assert_eq!(wrong(&body(FUNCTION - 3)), 0);
        assert_eq!(wrong(&body(FUNCTION - 2)), 1);
        let within = format!("impl A {{ trait B {{ fn g(); }} {} }}", body(FUNCTION));
        assert_eq!(wrong(&within), 1);
        let strings = format!("fn f() {{ let a = \"}}\n{}\"; }}", "\n".repeat(FUNCTION));
        assert_eq!(wrong(&strings), 1);
    }

    #[test]
    fn a_name_that_says_nothing_is_refused() {
        for path in ["homed/src/utils.rs", "ctl/src/misc/a.rs", "tests/common/mod.rs", "a/util.rs"] {
            assert!(check_name(path).is_some(), "{path}");
        }
        assert_eq!(check_name("homed/src/commonplace.rs"), None);
    }
}
