//! What others may read of this process in /proc: its words (`cmdline`, everybody) and its environment (`environ`, its
//! user). What is private goes out of there as soon as it was read.
//!
//! Both lie in the process's own memory, where proc_pid_stat(5) says (`arg_start` to `env_end`), and are written over
//! there through /proc/self/mem: zeros stay zeros for whoever reads them as texts. It is done before anything else runs,
//! and whoever reads an environment variable later reads an empty one.

use crate::options::parse::Typed;
use crate::options::{Effect, Place};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Where words and environment lie.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    words: Range<u64>,
    variables: Range<u64>,
}

/// Takes the values of private options out of the words, and those of these variables out of the environment.
/// Where /proc does not let it, they stay, as they do with other programs.
pub fn hide(private: &[&str], variables: &[&str]) {
    let Some(places) = std::fs::read_to_string("/proc/self/stat").ok().and_then(|text| places(&text)) else {
        return;
    };
    let Ok(memory) = File::options().read(true).write(true).open("/proc/self/mem") else { return };
    let values = |text: &[u8]| words_of(text, |word| ends(word, private));
    zero(&memory, places.words, &values);
    let values = |text: &[u8]| words_of(text, |word| value_of(word, variables));
    zero(&memory, places.variables, &values);
}

/// The private values of a command line, whether they are words of their own or not.
pub fn private_values<'a>(options: &[Typed<'a>]) -> Vec<&'a str> {
    let is_private =
        |typed: &&Typed<'_>| matches!(typed.row.effect, Effect::Set { place: Place::Privileged, .. });
    options.iter().filter(is_private).map(|typed| typed.value).filter(|value| !value.is_empty()).collect()
}

/// Fields 48 to 51 of proc_pid_stat(5). The second is in brackets, and may have anything in it.
fn places(stat: &str) -> Option<Places> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Places { words: field(48)?..field(49)?, variables: field(50)?..field(51)? })
}

fn zero(memory: &File, place: Range<u64>, private: &dyn Fn(&[u8]) -> Vec<Range<usize>>) {
    let Some(length) = place.end.checked_sub(place.start).and_then(|length| usize::try_from(length).ok())
    else {
        return;
    };
    let mut text = vec![0; length];
    if memory.read_exact_at(&mut text, place.start).is_err() {
        return;
    }
    for range in private(&text) {
        // What cannot be written stays readable, and no worse came of it.
        let _ = memory.write_all_at(&vec![0; range.len()], place.start + range.start as u64);
    }
    // This copy is nobody's any more.
    drop(records::Secret::new(text));
}

/// In texts that end with NUL, the parts of each that are private.
fn words_of(text: &[u8], part: impl Fn(&[u8]) -> Option<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for word in text.split(|byte| *byte == 0) {
        if let Some(from) = part(word) {
            found.push(start + from..start + word.len());
        }
        start += word.len() + 1;
    }
    found
}

/// Where the private value begins in a word that is it, or that ends with it behind an equals sign.
fn ends(word: &[u8], private: &[&str]) -> Option<usize> {
    let value = private.iter().find(|value| {
        word.strip_suffix(value.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.ends_with(b"="))
    })?;
    Some(word.len() - value.len())
}

fn value_of(word: &[u8], variables: &[&str]) -> Option<usize> {
    let name = variables
        .iter()
        .find(|name| word.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))?;
    Some(name.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let rest: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        let found = places(&format!("1 (a ) b) {}", rest.join(" ")));
        assert_eq!(found, Some(Places { words: 48..49, variables: 50..51 }));
        assert_eq!(places("1 (x) S 1"), None);
    }

    #[test]
    fn only_private_parts_are_found() {
        let words = b"homectl\0update\0--password-hint=my hint\0my hint\0-cmy hint\0";
        let found = words_of(words, |word| ends(word, &["my hint"]));
        let texts: Vec<&[u8]> = found.iter().map(|range| &words[range.clone()]).collect();
        assert_eq!(texts, [b"my hint", b"my hint"]);
        assert_eq!(found[0].start, 31);
        let variables = b"A=PASSWORD=1\0PASSWORD=s=t\0PIN=\0";
        let found = words_of(variables, |word| value_of(word, &["PASSWORD", "PIN"]));
        assert_eq!(found, [22..25, 30..30]);
    }
}
