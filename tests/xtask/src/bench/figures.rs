//! What was measured, and how it is printed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Values by name, in the order they were measured.
#[derive(Default)]
pub struct Figures(BTreeMap<String, Vec<u64>>);

impl Figures {
    /// Reads lines of "NAME VALUE".
    pub fn parse(text: &str) -> Result<Self> {
        let mut figures = Self::default();
        for line in text.lines() {
            let (name, value) = line.split_once(' ').with_context(|| format!("what is {line:?}?"))?;
            figures.put(name, value.parse().with_context(|| format!("what is {line:?}?"))?);
        }
        Ok(figures)
    }

    /// One more value.
    pub fn put(&mut self, name: &str, value: u64) {
        self.0.entry(name.to_owned()).or_default().push(value);
    }

    /// Takes over those of another part.
    pub fn add(&mut self, other: Self) {
        for (name, mut values) in other.0 {
            self.0.entry(name).or_default().append(&mut values);
        }
    }

    /// The value measured last.
    pub fn last(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.last().copied()
    }

    /// The least value: what else the host does only adds; `None`: it was not measured.
    pub fn least(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.iter().min().map(|least| *least as f64)
    }

    /// The value in the middle; `None`: it was not measured.
    pub fn median(&self, name: &str) -> Option<f64> {
        self.rank(name, 50)
    }

    /// The value that so many of 100 are below; `None`: it was not measured.
    pub fn rank(&self, name: &str, percent: usize) -> Option<f64> {
        let mut values = self.0.get(name)?.clone();
        values.sort_unstable();
        Some(*values.get(values.len() * percent / 100)? as f64)
    }
}

impl Figures {
    /// How many times another one each value is, the one in the middle: of values that were measured in turns, so that what
    /// else a machine does is in both.
    pub fn share(&self, name: &str, of: &str) -> Option<f64> {
        let pairs = self.0.get(name)?.iter().zip(self.0.get(of)?);
        let mut shares: Vec<f64> = pairs.map(|(value, of)| *value as f64 / *of as f64).collect();
        shares.sort_unstable_by(f64::total_cmp);
        shares.get(shares.len() / 2).copied()
    }
}

/// A line of the table.
pub struct Line {
    /// The name in the script's output.
    pub name: &'static str,
    /// What people read.
    pub words: &'static str,
    /// What the values are.
    pub unit: Unit,
    /// How many times the original's ours may be.
    pub limit: Option<f64>,
}

impl Line {
    /// A line without a limit.
    pub const fn new(name: &'static str, words: &'static str, unit: Unit) -> Self {
        Self { name, words, unit, limit: None }
    }

    /// The same with one.
    pub const fn at_most(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

/// What a value is in the script's output, and what it is printed as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds, printed as milliseconds.
    Time,
    /// KiB, printed as MiB.
    Memory,
    /// KiB a second, printed as MiB a second: more is better.
    Rate,
    /// A share in 1/1000, printed in per cent.
    Share,
    /// How often.
    Count,
}

impl Unit {
    fn divisor(self) -> f64 {
        match self {
            Self::Time => 1000.0,
            Self::Memory | Self::Rate => 1024.0,
            Self::Share => 10.0,
            Self::Count => 1.0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Time => "ms",
            Self::Memory => "MiB",
            Self::Rate => "MiB/s",
            Self::Share => "%",
            Self::Count => "",
        }
    }
}

/// All of it, ours beside the original's.
pub struct Table<'a> {
    /// The original's.
    pub version: &'a str,
    /// What is printed.
    pub lines: &'a [&'a Line],
    /// Ours.
    pub ours: &'a Figures,
    /// The original's.
    pub original: &'a Figures,
}

impl Table<'_> {
    /// For people: medians. What one of the two does not have is left out.
    pub fn print(&self) -> Result<()> {
        println!("medians; systemd-homed {}", self.version);
        println!("{:<44}{:>10}{:>16}{:>13}  wanted", "", "homed", "systemd-homed", "ratio");
        for line in self.lines {
            let shown = |value: Option<f64>| {
                value.map_or("-".to_owned(), |v| format!("{:.1}", v / line.unit.divisor()))
            };
            let (ours, original) = (self.ours.median(line.name), self.original.median(line.name));
            let ratio = ours.zip(original).map(|(ours, original)| ours / original);
            let wanted = line.limit.map_or(String::new(), |limit| {
                let kept = if ratio.is_some_and(|ratio| ratio <= limit) { "" } else { ": not reached" };
                format!("  at most {limit:.1}{kept}")
            });
            let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
            let (ours, original) = (shown(ours), shown(original));
            println!("{:<44}{ours:>10}{original:>16} {:<6}{ratio:>6}{wanted}", line.words, line.unit.name());
        }
        Ok(())
    }

    /// For programs: every value.
    pub fn print_json(&self) -> Result<()> {
        let lines: Vec<Value> = self.lines.iter().map(|line| self.json(line)).collect();
        let all = json!({ "systemdHomed": self.version, "lines": lines });
        println!("{}", serde_json::to_string_pretty(&all)?);
        Ok(())
    }

    fn json(&self, line: &Line) -> Value {
        let unit = match line.unit {
            Unit::Time => "microseconds",
            Unit::Memory => "KiB",
            Unit::Rate => "KiB/s",
            Unit::Share => "1/1000",
            Unit::Count => "count",
        };
        let values = |figures: &Figures| figures.0.get(line.name).cloned().unwrap_or_default();
        json!({
            "name": line.name,
            "words": line.words,
            "unit": unit,
            "limit": line.limit,
            "homed": values(self.ours),
            "systemd-homed": values(self.original),
            "median": { "homed": self.ours.median(line.name), "systemd-homed": self.original.median(line.name) },
        })
    }
}
