//! Words of the command line become options and plain arguments, in the order they were typed.
//!
//! The order matters (`--match=` is for what follows), and options may stand before and after the verb,
//! which is why this is not left to clap. Follows getopt_long: clusters of letters, `=`, unique beginnings of
//! long names, `--`. After `with USER` everything belongs to the command that is run.

use super::{Row, Takes, rows};

/// An option as it was typed.
#[derive(Clone, Copy)]
pub struct Typed<'a> {
    /// Its row.
    pub row: &'static Row,
    /// Its value; empty if it has none.
    pub value: &'a str,
}

impl Typed<'_> {
    /// The option as the user knows it, for messages.
    pub fn name(&self) -> String {
        match (self.row.long, self.row.short) {
            ("", Some(letter)) => format!("-{letter}"),
            (long, _) => format!("--{long}"),
        }
    }
}

/// What was typed.
#[derive(Default)]
pub struct CommandLine<'a> {
    /// Options in order.
    pub options: Vec<Typed<'a>>,
    /// The verb and its arguments.
    pub arguments: Vec<&'a str>,
}

/// Reads the words after the program's name; the error is for the user.
pub fn parse<'a>(words: &[&'a str]) -> Result<CommandLine<'a>, String> {
    let mut line = CommandLine::default();
    let mut rest = words.iter().copied();
    while let Some(word) = rest.next() {
        if word == "--" {
            line.arguments.extend(rest.by_ref());
        } else if let Some(long) = word.strip_prefix("--") {
            line.options.push(long_option(long, &mut rest)?);
        } else if word.len() > 1 && word.starts_with('-') {
            letters(&word[1..], &mut rest, &mut line.options)?;
        } else {
            line.arguments.push(word);
            if line.arguments.len() == 2 && line.arguments[0] == "with" {
                let mut command = rest.by_ref().peekable();
                command.next_if_eq(&"--");
                line.arguments.extend(command);
            }
        }
    }
    Ok(line)
}

fn long_option<'a>(word: &'a str, rest: &mut impl Iterator<Item = &'a str>) -> Result<Typed<'a>, String> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let row = find(name)?;
    let value = match (row.value, value) {
        (Takes::Nothing, Some(_)) => return Err(format!("--{name} takes no value")),
        (Takes::Nothing | Takes::Perhaps(_), None) => "",
        (Takes::One(_) | Takes::Perhaps(_), Some(value)) => value,
        (Takes::One(what), None) => rest.next().ok_or_else(|| format!("--{name} needs a value: {what}"))?,
    };
    Ok(Typed { row, value })
}

fn find(name: &str) -> Result<&'static Row, String> {
    let is = |row: &&Row| !name.is_empty() && (row.long == name || row.aliases.contains(&name));
    if let Some(row) = rows().find(is) {
        return Ok(row);
    }
    let begin: Vec<&Row> = rows().filter(|row| !name.is_empty() && row.long.starts_with(name)).collect();
    match begin[..] {
        [row] => Ok(row),
        [] => Err(format!("--{name} is not an option. See: homectl --help")),
        _ => Err(format!(
            "--{name} could be {}",
            begin.iter().map(|row| format!("--{}", row.long)).collect::<Vec<_>>().join(" or ")
        )),
    }
}

fn letters<'a>(
    cluster: &'a str,
    rest: &mut impl Iterator<Item = &'a str>,
    options: &mut Vec<Typed<'a>>,
) -> Result<(), String> {
    for (at, letter) in cluster.char_indices() {
        let row = rows().find(|row| row.short == Some(letter));
        let row = row.ok_or_else(|| format!("-{letter} is not an option. See: homectl --help"))?;
        let behind = &cluster[at + letter.len_utf8()..];
        match row.value {
            Takes::Nothing | Takes::Perhaps(_) => options.push(Typed { row, value: "" }),
            Takes::One(what) => {
                let value = if behind.is_empty() { rest.next() } else { Some(behind) };
                let value = value.ok_or_else(|| format!("-{letter} needs a value: {what}"))?;
                options.push(Typed { row, value });
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(words: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let line = parse(words)?;
        let options = line.options.iter().map(|o| format!("{}={}", o.name(), o.value)).collect();
        Ok((options, line.arguments.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn options_may_stand_anywhere_and_keep_their_order() {
        let (options, arguments) =
            shape(&["-T", "create", "anna", "--nice", "3", "-N", "-cAnna"]).expect("valid");
        assert_eq!(options, ["-T=", "--nice=3", "-N=", "--real-name=Anna"]);
        assert_eq!(arguments, ["create", "anna"]);
    }

    #[test]
    fn the_command_of_with_keeps_its_options() {
        let (options, arguments) = shape(&["with", "anna", "--", "test", "-f", "x"]).expect("valid");
        assert!(options.is_empty());
        assert_eq!(arguments, ["with", "anna", "test", "-f", "x"]);
        assert_eq!(shape(&["with", "anna", "ls", "-l"]).expect("valid").1, ["with", "anna", "ls", "-l"]);
    }

    #[test]
    fn a_beginning_is_enough_if_only_one_name_has_it() {
        assert_eq!(shape(&["--auto-r=off"]).expect("valid").0, ["--auto-resize-mode=off"]);
        assert!(shape(&["--luks=off"]).is_err_and(|why| why.contains("could be")));
        assert!(shape(&["--no-such-thing"]).is_err());
        assert!(shape(&["--nice"]).is_err());
        assert!(shape(&["--offline=yes"]).is_err());
    }
}
