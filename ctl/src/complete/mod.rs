//! What may stand where the cursor is: asked by the shells' completion functions with each Tab.
//!
//! ```text
//! shell: homectl --complete -- WORD… CURRENT → place::find → options, values::of, arguments::of → lines
//! ```
//!
//! The shells know nothing of homectl: what they offer comes from the same rows as the parser, and from the
//! daemon, which is asked for what everybody may know (`ListHomes`, `ListSigningKeys`), without a password and for
//! no longer than a moment. A line is a word, and perhaps a tab and a help text. A line that begins with a colon has
//! the shell complete by itself:
//!
//! | line | the shell offers |
//! | --- | --- |
//! | `:files` TAB *fixed* | files, behind what stands fixed at the beginning of the word |
//! | `:folders` TAB *fixed* | folders |
//! | `:hosts` | hosts |
//! | `:command` TAB *n* | what fits the command that begins with the n-th word, homectl being word 0 |

mod arguments;
mod place;
mod scripts;
mod values;
mod world;

pub use scripts::script;
pub use world::print;

use crate::bus::HomeRow;
use crate::options::{Effect, RECORD_ROWS, Row, TOOL_ROWS, Takes};
use crate::verb::VERBS;
use place::Place;

/// What is not in the tables.
pub trait World {
    /// The homes there are; none where nobody tells.
    fn homes(&self) -> Vec<HomeRow>;
    /// Names that the system knows.
    fn known(&self, what: Known) -> Vec<String>;
}

/// Names that the system knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Public keys that records may be signed with.
    Keys,
    /// Groups.
    Groups,
    /// Login shells.
    Shells,
    /// Time zones.
    Zones,
    /// Containers that run.
    Containers,
    /// Locales that are installed.
    Locales,
    /// Accounts of people that are in /etc/passwd.
    Accounts,
    /// Accounts that became homes, and can be accounts again.
    Converted,
    /// Homes that became accounts, and can be homes again.
    Released,
}

/// One thing that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// A whole word, and what it means.
    Word(String, String),
    /// Files; what stands fixed in front.
    Files(String),
    /// Folders; what stands fixed in front.
    Folders(String),
    /// Hosts.
    Hosts,
    /// A command that begins with this word.
    Command(usize),
}

impl Offer {
    fn word(word: impl Into<String>) -> Self {
        Self::Word(word.into(), String::new())
    }

    /// The line for the shell.
    pub fn line(&self) -> String {
        match self {
            Self::Word(word, help) if help.is_empty() => word.clone(),
            Self::Word(word, help) => format!("{word}\t{help}"),
            Self::Files(fixed) => format!(":files\t{fixed}"),
            Self::Folders(fixed) => format!(":folders\t{fixed}"),
            Self::Hosts => ":hosts".to_owned(),
            Self::Command(first) => format!(":command\t{first}"),
        }
    }
}

/// What fits in the place of the last of these words, which is typed up to the cursor; the program's name is left out.
pub fn offers(words: &[&str], world: &dyn World) -> Vec<Offer> {
    let (place, current) = place::find(words);
    let offers = match place {
        Place::Option { verb } => options(verb, current),
        Place::Value { row, typed, fixed } => values::of(row, typed, fixed, world),
        Place::Verb => verbs(),
        Place::Argument { verb, before } => arguments::of(verb, &before, world),
        Place::Unknown => Vec::new(),
        Place::Command { first } => vec![Offer::Command(first)],
    };
    offers.into_iter().filter(|offer| fits(offer, current)).collect()
}

fn fits(offer: &Offer, current: &str) -> bool {
    match offer {
        // A word with a control character, which a name cannot have, would be two for the shell.
        Offer::Word(word, _) => word.starts_with(current) && !word.contains(char::is_control),
        Offer::Files(_) | Offer::Folders(_) | Offer::Hosts | Offer::Command(_) => true,
    }
}

fn verbs() -> Vec<Offer> {
    VERBS.iter().map(|verb| Offer::Word(verb.name.to_owned(), verb.help.to_owned())).collect()
}

/// The options that do something for this verb; all, as long as there is none.
fn options(verb: Option<&str>, current: &str) -> Vec<Offer> {
    let of_tool = |row: &&Row| match row.effect {
        Effect::Tool(tool) => tool.is_for(verb),
        Effect::Set { .. } | Effect::Special(_) => true,
    };
    let changes_records = verb.is_none_or(|verb| matches!(verb, "create" | "update" | "convert"));
    let record: &[Row] = if changes_records { RECORD_ROWS } else { &[] };
    let shown = TOOL_ROWS.iter().filter(of_tool).chain(record).filter(|row| !row.help.is_empty());
    shown.flat_map(|row| names(row, current)).collect()
}

/// The long name; letters only where nothing else is known of the word yet.
fn names(row: &Row, current: &str) -> Vec<Offer> {
    let ending = if matches!(row.value, Takes::One(_)) { "=" } else { "" };
    let named = |name: String| Offer::Word(name, row.help.to_owned());
    let mut offers = Vec::new();
    if !row.long.is_empty() {
        offers.push(named(format!("--{}{ending}", row.long)));
        // Other names are for scripts, and for who has begun to type one.
        let begun = |name: &&&str| current.len() > 2 && format!("--{name}").starts_with(current);
        offers.extend(row.aliases.iter().filter(begun).map(|name| named(format!("--{name}{ending}"))));
    }
    offers.extend(row.short.filter(|_| current == "-").map(|letter| named(format!("-{letter}"))));
    offers
}

#[cfg(test)]
mod tests;
