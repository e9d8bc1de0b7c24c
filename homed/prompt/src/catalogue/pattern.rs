//! Texts with places to be filled in, `{name}`: filling them, and finding in a text what was filled in.

use std::collections::BTreeMap;

/// A text cut at its places.
#[derive(Debug)]
pub struct Pattern<'a> {
    /// What comes before the first place.
    start: &'a str,
    /// Each place's name, and what comes after it.
    places: Vec<(&'a str, &'a str)>,
}

impl<'a> Pattern<'a> {
    /// Reads a text. A brace without its fellow is a letter like others.
    pub fn of(text: &'a str) -> Self {
        let mut places: Vec<(&str, &str)> = Vec::new();
        let (mut start, mut rest) = (text, text);
        while let Some((before, name, after)) = place(rest) {
            match places.last_mut() {
                Some((_, behind)) => *behind = before,
                None => start = before,
            }
            places.push((name, after));
            rest = after;
        }
        Self { start, places }
    }

    /// The names of its places.
    #[cfg(test)]
    pub fn names(&self) -> std::collections::BTreeSet<&'a str> {
        self.places.iter().map(|(name, _)| *name).collect()
    }

    /// How much of it is not open.
    pub fn letters(&self) -> usize {
        self.start.len() + self.places.iter().map(|(_, behind)| behind.len()).sum::<usize>()
    }

    /// What was filled in, if the text was made of this one.
    pub fn values(&self, text: &str) -> Option<BTreeMap<&'a str, String>> {
        let mut rest = text.strip_prefix(self.start)?;
        let mut values = BTreeMap::new();
        for (index, (name, behind)) in self.places.iter().enumerate() {
            let last = index + 1 == self.places.len();
            let (value, after) =
                if last { (rest.strip_suffix(behind)?, "") } else { rest.split_once(behind)? };
            if value.is_empty() {
                return None;
            }
            values.insert(*name, value.to_owned());
            rest = after;
        }
        rest.is_empty().then_some(values)
    }
}

/// The text with its places filled in; one that nothing is known for stays as it is.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let pattern = Pattern::of(text);
    let mut filled = pattern.start.to_owned();
    for (name, behind) in pattern.places {
        filled.push_str(&value(name).unwrap_or_else(|| format!("{{{name}}}")));
        filled.push_str(behind);
    }
    filled
}

/// The first place of a text: what is before it, its name, what is behind it.
fn place(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, behind) = rest.split_once('}')?;
    Some((before, name, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_in_is_found_again() {
        let pattern = Pattern::of("{user} is locked since {since}.");
        let values = pattern.values("alice is locked since 14:03.").expect("it fits");
        assert_eq!((values["user"].as_str(), values["since"].as_str()), ("alice", "14:03"));
        for other in ["", "alice", "alice is locked since .", " is locked since 1.", "a is locked since 1"] {
            assert_eq!(pattern.values(other), None, "{other}");
        }
        assert_eq!(Pattern::of("no place").values("no place"), Some(BTreeMap::new()));
        assert_eq!(Pattern::of("no place").values("no places"), None);
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        let fill = |text| super::fill(text, |name| (name == "a").then(|| "{b}{a}".to_owned()));
        assert_eq!(
            (fill("{a}, {b}"), fill("{ and } {"), fill("")),
            ("{b}{a}, {b}".into(), "{ and } {".into(), String::new())
        );
    }
}
