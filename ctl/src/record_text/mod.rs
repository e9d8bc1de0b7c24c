//! A record for people: "label: value" lines in a fixed order, the colon in column 13.
//!
//! The order and labels are the rows of `rows`; what a row cannot read off one member is in `computed`.
//! A line appears only if its value exists.

mod computed;
mod kept;
mod rows;

use crate::context::Paint;
use crate::options::values::{show_moment, show_size, show_span};
use records::{Machine, Record, Settings, matching};
use rows::{Form, OWN_ROWS, ROWS, When};
use serde_json::Value;

/// From where and how a record is looked at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// Now, in µs since 1970.
    pub now_usec: u64,
    /// Colours.
    pub paint: Paint,
    /// Whether lines are shown that the original has not.
    pub details: Details,
}

/// Whether what homed alone knows of a home is shown, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Details {
    /// Only what `userdbctl user` shows.
    #[default]
    Hidden,
    /// Also blocks, locks and what keeps the home open.
    Shown,
}

/// A record, and what of it is in force here.
struct Shown<'a> {
    record: &'a Record,
    settings: Settings,
    view: View<'a>,
}

/// The text.
pub fn format(record: &Record, view: &View<'_>) -> String {
    let shown = Shown { record, settings: record.on(view.machine), view: *view };
    let storage = shown.storage();
    let mut text = String::new();
    let more = if view.details == Details::Shown { OWN_ROWS } else { &[] };
    for row in ROWS.iter().chain(more) {
        let wanted = match row.when {
            When::Always => true,
            When::Luks => storage == "luks",
            When::Cifs => storage == "cifs",
        };
        let values = if wanted { shown.lines(row.form) } else { Vec::new() };
        for (at, value) in values.iter().enumerate() {
            // A value cannot forge a line: control characters are shown as such.
            let value: String = value
                .chars()
                .flat_map(
                    |c| if c.is_control() && c != '\x1b' { c.escape_default().collect() } else { vec![c] },
                )
                .collect();
            let label = match row.label {
                _ if at > 0 => format!("{:13}", ""),
                part if part.starts_with('(') => format!("{part:>13}"),
                label => format!("{label:>12}:"),
            };
            text.push_str(&format!("{label} {value}\n"));
        }
    }
    text
}

impl<'a> Shown<'a> {
    /// The value in force: status and binding of this machine, then the last matching entry, then the top level.
    fn value(&self, member: &str) -> Option<&'a Value> {
        let members = self.record.members();
        let of_machine =
            |section: &str| members.get(section)?.get(self.view.machine.id.as_str())?.get(member);
        let entries = members.get("perMachine").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let matching = || {
            let own = entries
                .iter()
                .rev()
                .filter_map(Value::as_object)
                .filter(|entry| matching::applies(entry, self.view.machine));
            own.filter_map(|entry| entry.get(member)).next()
        };
        let value = of_machine("status")
            .or_else(|| of_machine("binding"))
            .or_else(matching)
            .or_else(|| members.get(member));
        value.filter(|value| !value.is_null())
    }

    fn text(&self, member: &str) -> Option<&'a str> {
        self.value(member).and_then(Value::as_str)
    }

    fn number(&self, member: &str) -> Option<u64> {
        self.value(member).and_then(Value::as_u64)
    }

    fn flag(&self, member: &str) -> Option<bool> {
        self.value(member).and_then(Value::as_bool)
    }

    fn storage(&self) -> &'a str {
        self.text("storage").unwrap_or("classic")
    }

    fn lines(&self, form: Form) -> Vec<String> {
        let one = |text: Option<String>| text.into_iter().collect();
        match form {
            Form::Text(member) => one(self.value(member).map(plain)),
            Form::Moment(member) => one(self.number(member).filter(|usec| *usec != 0).map(show_moment)),
            Form::Span(member) => one(self.number(member).map(show_span)),
            Form::Size(member) => one(self.number(member).map(show_size)),
            Form::Octal(member) => one(self.number(member).map(|mode| format!("{mode:04o}"))),
            Form::YesNo(member) => one(self.flag(member).map(|flag| yes_no(flag).to_owned())),
            Form::List(member) => self
                .value(member)
                .and_then(Value::as_array)
                .map_or_else(Vec::new, |items| items.iter().map(plain).collect()),
            Form::Joined(member) => one(self.joined(member)),
            Form::Count(member) => one(self.privileged(member).filter(|n| *n > 0).map(|n| n.to_string())),
            Form::Hint => {
                one(self.record.members().get("privileged").and_then(|p| p.get("passwordHint")).map(plain))
            }
            Form::Computed(compute) => compute(self),
        }
    }

    fn joined(&self, member: &str) -> Option<String> {
        let items = self.value(member)?.as_array()?;
        Some(items.iter().map(plain).collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
    }

    /// How many entries a list of the `privileged` section has.
    fn privileged(&self, member: &str) -> Option<usize> {
        Some(self.record.members().get("privileged")?.get(member)?.as_array()?.len())
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn yes_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}
