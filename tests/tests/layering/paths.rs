//! The paths that a file names, whole: `use` lines taken apart, `super` and names that were brought in
//! resolved.

use super::source::{Source, is_word};
use std::collections::HashMap;

/// A path, from the name of its crate on.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
}

/// A path as it is written.
struct Written {
    path: Vec<String>,
    line: usize,
    /// The module it is written in.
    inside: Vec<String>,
    /// The name a `use` gives it.
    alias: Option<String>,
}

/// Every path of two names or more that the file, which is this module, names.
pub fn named(source: &Source, module: &[String]) -> Vec<Named> {
    let mut reader =
        Reader { source, written: Vec::new(), inside: module.to_vec(), declared: HashMap::new() };
    reader.read();
    let Reader { written, mut declared, .. } = reader;
    let modules = declared.clone();
    for path in &written {
        if let (Some(alias), Some(whole)) = (&path.alias, whole(path, &modules)) {
            declared.entry(alias.clone()).or_insert(whole);
        }
    }
    let whole = |path: &Written| Named {
        path: whole(path, &declared).unwrap_or_else(|| path.path.clone()),
        line: path.line,
    };
    written.iter().map(whole).collect()
}

/// From the crate's name on; `None` where the first name is neither known nor a keyword.
fn whole(written: &Written, known: &HashMap<String, Vec<String>>) -> Option<Vec<String>> {
    let mut start = written.inside.clone();
    let mut rest = written.path.as_slice();
    match rest.first()?.as_str() {
        "crate" => {
            start.truncate(1);
            rest = &rest[1..];
        }
        "self" | "super" => {
            while let Some(step @ ("self" | "super")) = rest.first().map(String::as_str) {
                if step == "super" {
                    start.pop();
                }
                rest = &rest[1..];
            }
        }
        // In a `use` a crate's name; the modules declared here are found in `known`.
        first if written.alias.is_none() || known.contains_key(first) => {
            start = known.get(first)?.clone();
            rest = &rest[1..];
        }
        _ => start.clear(),
    }
    start.extend(rest.iter().filter(|name| *name != "self").cloned());
    Some(start)
}

struct Reader<'a> {
    source: &'a Source,
    written: Vec<Written>,
    inside: Vec<String>,
    /// The modules that the file declares.
    declared: HashMap<String, Vec<String>>,
}

impl Reader<'_> {
    fn read(&mut self) {
        let mut ends = Vec::new();
        let mut index = 0;
        while index < self.source.tokens.len() {
            if ends.last() == Some(&index) {
                ends.pop();
                self.inside.pop();
            }
            match (self.source.text(index), self.source.text(index + 1)) {
                ("mod", name) if is_word(name) => {
                    let mut path = self.inside.clone();
                    path.push(name.to_owned());
                    self.declared.insert(name.to_owned(), path);
                    if self.source.text(index + 2) == "{" {
                        self.inside.push(name.to_owned());
                        ends.push(self.source.closing(index + 2));
                    }
                    index += 2;
                }
                // `use<'a>` names what a type borrows from.
                ("use", next) if next != "<" => {
                    let start = index + 1 + usize::from(next == "::");
                    index = self.tree(start, Vec::new());
                }
                ("extern", "crate") => index = self.tree(index + 2, Vec::new()),
                (first, _) if is_word(first) => index = self.path(index),
                _ => index += 1,
            }
        }
    }

    /// A tree of a `use`, which may hold others; gives the index after it.
    fn tree(&mut self, mut index: usize, mut path: Vec<String>) -> usize {
        loop {
            match self.source.text(index) {
                "{" => {
                    let end = self.source.closing(index);
                    index += 1;
                    while index < end {
                        index = self.tree(index, path.clone());
                        index += usize::from(self.source.text(index) == ",");
                    }
                    return end + 1;
                }
                name if is_word(name) || name == "*" => path.push(name.to_owned()),
                _ => return index + 1,
            }
            index += 1;
            match self.source.text(index) {
                "::" => index += 1,
                "as" => {
                    let alias = self.source.text(index + 1).to_owned();
                    self.push(path, index, Some(alias));
                    return index + 2;
                }
                _ => {
                    let alias = path.iter().rev().find(|name| *name != "self").cloned();
                    self.push(path, index - 1, Some(alias.unwrap_or_default()));
                    return index;
                }
            }
        }
    }

    /// A path in the midst of code; gives the index after it.
    fn path(&mut self, start: usize) -> usize {
        let mut path = vec![self.source.text(start).to_owned()];
        let mut index = start + 1;
        while self.source.text(index) == "::" && is_word(self.source.text(index + 1)) {
            path.push(self.source.text(index + 1).to_owned());
            index += 2;
        }
        let of_crate = start > 0
            && self.source.text(start - 1) == "::"
            && (start < 2 || !is_word(self.source.text(start - 2)) && self.source.text(start - 2) != ">");
        if path.len() > 1 || of_crate {
            // `::name` is a crate, whatever else has that name here.
            self.push(path, start, of_crate.then(String::new));
        }
        index
    }

    fn push(&mut self, path: Vec<String>, token: usize, alias: Option<String>) {
        let line = self.source.tokens.get(token).map_or(0, |token| token.line);
        self.written.push(Written { path, line, inside: self.inside.clone(), alias });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let module: Vec<String> = ["homed", "front", "dbus"].map(str::to_owned).into();
        let source = Source::new("homed/src/front/dbus/mod.rs", text);
        named(&source, &module).into_iter().map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn a_use_is_taken_apart() {
        assert_eq!(
            paths("use crate::{sys::{self, mount as m}, job::*};"),
            ["homed::sys", "homed::sys::mount", "homed::job::*"]
        );
        assert_eq!(paths("pub use std::fs;"), ["std::fs"]);
        assert_eq!(
            paths("use ::records::Secret;\nuse super::polkit;"),
            ["records::Secret", "homed::front::polkit"]
        );
    }

    #[test]
    fn paths_in_code_are_found() {
        assert_eq!(
            paths("fn f(a: crate::sys::A<super::super::job::B>) {}"),
            ["homed::sys::A", "homed::job::B"]
        );
        assert_eq!(paths("let x = ::pam::f(std::env::var(a));"), ["pam::f", "std::env::var"]);
        assert_eq!(paths("use std::time; time::Instant::now()"), ["std::time", "std::time::Instant::now"]);
        assert_eq!(paths("#[tokio::test] tracing::info!(\"crate::sys\")"), ["tokio::test", "tracing::info"]);
    }

    #[test]
    fn a_module_is_nearer_than_a_crate_of_its_name() {
        assert_eq!(paths("mod handoff; handoff::listen()"), ["homed::front::dbus::handoff::listen"]);
        assert_eq!(paths("handoff::receive()"), ["handoff::receive"]);
        assert_eq!(
            paths("use super::handoff; handoff::f()"),
            ["homed::front::handoff", "homed::front::handoff::f"]
        );
    }

    #[test]
    fn super_counts_from_the_module_it_is_in() {
        assert_eq!(
            paths("mod tests { use super::super::A; } use super::B;"),
            ["homed::front::A", "homed::front::B"]
        );
    }
}
