//! How long a file and a function may be, what its arguments may be, and how a file may not be called.

use super::source::{Source, is_word};

/// Most lines of a file.
const FILE: usize = 400;
/// Most lines of a function, from its `fn` to its last bracket.
const FUNCTION: usize = 50;
/// The same of a scenario in a machine, which is a story with a beginning and an end.
const SCENARIO: usize = 60;
/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "misc", "common", "helper", "helpers"];

/// Whatever is too long.
pub fn check(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = source.lines.len() - usize::from(source.lines.last().is_some_and(is_empty));
    if lines > FILE {
        wrong.push(source.finding(lines, &format!("more than {FILE} lines")));
    }
    let most = if source.path.starts_with("tests/tests/") { SCENARIO } else { FUNCTION };
    for (name, start, length) in functions(source) {
        if length > most {
            wrong.push(source.finding(start, &format!("{name} has {length} lines, more than {most}")));
        }
    }
    wrong
}

fn is_empty(line: &super::source::Line) -> bool {
    line.code.is_empty() && line.comment.is_empty()
}

/// How long a file and a function are usually.
pub fn medians(sources: &[Source]) -> String {
    let middle = |mut all: Vec<usize>| {
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    };
    let files: Vec<usize> = sources.iter().map(|source| source.lines.len()).collect();
    let of_functions = |source| functions(source).into_iter().map(|(.., length)| length);
    let functions: Vec<usize> = sources.iter().flat_map(of_functions).collect();
    let count = functions.len();
    format!(
        "{} files, half of them with at most {} lines; {count} functions, half of them with at most {}",
        files.len(),
        middle(files),
        middle(functions)
    )
}

/// Tuples of three and more as arguments: nobody who reads the call knows which is which.
pub fn check_arguments(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for index in 0..source.tokens.len() {
        if source.text(index) != "fn" || !is_word(source.text(index + 1)) {
            continue;
        }
        let open = after_generics(source, index + 2);
        let arguments = open + 1..source.closing(open);
        // `Fn(…)` is none, and neither are the rows of a table.
        let is_tuple = |at: &usize| {
            let before = if source.text(at - 1) == "&" { at - 2 } else { at - 1 };
            source.text(*at) == "(" && source.text(before) == ":"
        };
        let of_three = |at: &usize| parts(source, *at) > 2 && !is_pattern(source, *at);
        if let Some(at) = arguments.filter(is_tuple).find(of_three) {
            let text = format!("{} takes a tuple of {}", source.text(index + 1), parts(source, at));
            wrong.push(source.finding(source.tokens[at].line, &text));
        }
    }
    wrong
}

/// The first token that does not belong to the parameters between `<` and `>` that begin here, if they do.
fn after_generics(source: &Source, begin: usize) -> usize {
    let (mut at, mut depth) = (begin, 0);
    loop {
        match source.text(at) {
            "<" => depth += 1,
            // Of `->`.
            ">" if source.text(at - 1) != "-" => depth -= 1,
            _ => {}
        }
        if depth == 0 || at >= source.tokens.len() {
            return if at == begin && source.text(at) != "<" { at } else { at + 1 };
        }
        at += 1;
    }
}

/// Whether it takes an argument apart.
fn is_pattern(source: &Source, open: usize) -> bool {
    source.text(source.closing(open) + 1) == ":"
}

/// How many parts stand between the brackets.
fn parts(source: &Source, open: usize) -> usize {
    let (end, mut at, mut commas) = (source.closing(open), open + 1, 0);
    while at < end {
        match source.text(at) {
            "(" | "[" => at = source.closing(at),
            "<" => at = after_generics(source, at) - 1,
            // A comma at the end begins no part.
            "," if at + 1 < end => commas += 1,
            _ => {}
        }
        at += 1;
    }
    commas + 1
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
    fn a_tuple_of_three_is_no_argument() {
        let count = |text: &str| check_arguments(&Source::new("x.rs", text)).len();
        assert_eq!(count("fn f((a, b, c): (u8, u8, u8)) {}"), 1);
        assert_eq!(count("impl A { fn f(&self, of: &(u8, [u8; 2], &str)) -> (u8, u8, u8) {} }"), 1);
        assert_eq!(
            count("fn f((a, b): (u8, Vec<(u8, u8)>), f: impl Fn(u8, u8, u8), rows: &[(u8, u8, u8)]) {}"),
            0
        );
        assert_eq!(count("fn f<F: Fn(u8, u8, u8) -> u8>(a: (u8, Map<u8, fn() -> u8>), b: F) {}"), 0);
    }

    #[test]
    fn a_name_that_says_nothing_is_refused() {
        for path in ["homed/src/utils.rs", "ctl/src/misc/a.rs", "tests/common/mod.rs", "a/util.rs"] {
            assert!(check_name(path).is_some(), "{path}");
        }
        assert_eq!(check_name("homed/src/commonplace.rs"), None);
    }
}
