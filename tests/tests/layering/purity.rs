//! Pure rooms: what they get comes in as arguments, what they do goes out as values.

use super::paths::named;
use super::source::Source;

/// Beginnings of paths that lead to the world outside.
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::process",
    "std::net",
    "std::env",
    "std::thread",
    "std::os::unix::fs",
    "std::os::unix::net",
    "std::os::unix::process",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::*",
    "tokio",
    "rustix",
    "nix",
    "libc",
    "zbus",
];
/// Ends of paths that ask the clock or for chance.
const ASKING: &[&str] = &["Instant::now", "SystemTime::now", "UNIX_EPOCH::elapsed", "Uuid::new_v4"];
/// Methods of paths, addresses and times that look outside.
const METHODS: &[&str] = &[
    "exists",
    "try_exists",
    "is_file",
    "is_dir",
    "is_symlink",
    "metadata",
    "symlink_metadata",
    "read_dir",
    "read_link",
    "canonicalize",
    "to_socket_addrs",
    "elapsed",
];
const MACROS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// Ways to begin something beside the loop.
const BESIDE: &[&str] = &["spawn_blocking", "once", "each"];

/// Every place where a file of the loop waits for what may not answer: a file system itself, or what is to be called aside.
/// A closure that is handed to what runs it aside is not the loop's.
pub fn check_waits(aside: &[&str], source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for found in named(source, &["loop".to_owned()]) {
        let path = found.path.join("::");
        let waits = ["std::fs", "std::process::Command", "rustix::fs", "nix::sys::stat", "nix::unistd"];
        let is_imported =
            source.lines.get(found.line - 1).is_some_and(|line| line.code.trim_start().starts_with("use "));
        if waits.iter().any(|start| path.starts_with(start)) {
            wrong.push(source.finding(found.line, &format!("{path} on the loop")));
        } else if !is_imported
            && aside.iter().any(|end| path.ends_with(end))
            && !is_beside(source, found.line)
        {
            wrong.push(source.finding(found.line, &format!("{path} on the loop: call it aside")));
        }
    }
    for (index, token) in source.tokens.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", |before| source.text(before));
        if before == "."
            && source.text(index + 1) == "("
            && METHODS.contains(&token.text.as_str())
            && token.text != "elapsed"
        {
            wrong.push(source.finding(token.line, &format!("{} on the loop", token.text)));
        }
    }
    wrong
}

/// Whether the line lies within the brackets of something that runs it aside.
fn is_beside(source: &Source, line: usize) -> bool {
    source.tokens.iter().enumerate().any(|(index, token)| {
        let opens = BESIDE.contains(&token.text.as_str()) && source.text(index + 1) == "(";
        let end = || source.tokens.get(source.closing(index + 1)).map_or(0, |token| token.line);
        opens && token.line <= line && line <= end()
    })
}

/// Every place where the file looks at the world, or changes it.
pub fn check(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for found in named(source, &["pure".to_owned()]) {
        let path = found.path.join("::");
        let below = |start: &&&str| path == **start || path.starts_with(&format!("{start}::"));
        let whole = found.path.len() == 1 && found.path[0] == "std";
        if whole || OUTSIDE.iter().any(|start| below(&start)) || ASKING.iter().any(|end| path.ends_with(end))
        {
            wrong.push(source.finding(found.line, &format!("{path} in a pure room")));
        }
    }
    for (index, token) in source.tokens.iter().enumerate() {
        let name = token.text.as_str();
        let before = index.checked_sub(1).map_or("", |before| source.text(before));
        let method = before == "." && source.text(index + 1) == "(" && METHODS.contains(&name);
        let output = source.text(index + 1) == "!" && MACROS.contains(&name);
        if method || output {
            wrong.push(source.finding(token.line, &format!("{name} in a pure room")));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_the_world_is_refused() {
        for text in [
            "use std::fs;",
            "use std::{fmt, fs::File};",
            "use std as s;",
            "use std::*;",
            "fn f() { std::process::exit(1) }",
            "use std::net::TcpStream;",
            "let home = std::env::var(name);",
            "use tokio::sync::mpsc;",
            "fn f() -> rustix::io::Result<()> {}",
            "use nix::unistd;",
            "use std::time::Instant; let now = Instant::now();",
            "let now = std::time::SystemTime::now();",
            "use std::time; time::Instant::now()",
            "use std::time::Instant as I; I::now()",
            "if path.exists() {}",
            "let age = start.elapsed();",
            "println!(\"x\")",
            "let id = uuid::Uuid::new_v4();",
        ] {
            assert!(!check(&Source::new("x.rs", text)).is_empty(), "{text}");
        }
    }

    #[test]
    fn what_waits_is_refused_on_the_loop_and_allowed_beside_it() {
        let check = |text: &str| check_waits(&["scan::folder"], &Source::new("x.rs", text)).len();
        for text in [
            "fn f() { std::fs::metadata(path) }",
            "use rustix::fs::statvfs;",
            "fn f() { path.exists() }",
            "use super::scan;\nfn f() {\n scan::folder(root)\n}",
            "use super::scan;\nfn f() {\n once(bound, g);\n scan::folder(root)\n}",
        ] {
            assert_eq!(check(text), 1, "{text}");
        }
        for text in [
            "use super::scan;\nfn f() {\n once(bound, move || scan::folder(root))\n}",
            "use super::scan;\nfn f() {\n spawn_blocking(move || {\n scan::folder(root)\n})\n}",
            "use super::markers::Markers;",
        ] {
            assert_eq!(check(text), 0, "{text}");
        }
    }

    #[test]
    fn values_and_their_types_are_allowed() {
        let text = "use std::time::{Duration, Instant}; use std::path::PathBuf; use std::io; // std::fs\n\
                    fn f(now: Instant, exists: bool) -> String { \"std::fs::read\".to_owned() }";
        assert_eq!(check(&Source::new("x.rs", text)), Vec::<String>::new());
    }
}
