//! Single entries of a list: `+wheel,-audio` adds one and takes another out, and leaves the others; without signs the
//! whole list is replaced.

use super::Kind;
use super::edit::Layer;
use super::values::{is_group, is_variable};
use records::UserName;
use serde_json::{Map, Value};

/// What is added to a list and taken out of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Items {
    add: Vec<String>,
    remove: Vec<String>,
}

impl Items {
    /// All of these with the same sign.
    pub fn all(sign: char, items: &[&str]) -> Self {
        let items = items.iter().map(|&item| item.to_owned()).collect();
        if sign == '+' {
            Self { add: items, ..Self::default() }
        } else {
            Self { remove: items, ..Self::default() }
        }
    }
}

/// A change of single entries.
pub struct ListEdit {
    /// The list.
    pub member: &'static str,
    /// Where it is.
    pub layer: Layer,
    /// What is changed.
    pub items: Items,
}

/// Whether a value is one of single entries.
pub fn is_edit(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Groups | Kind::Names => text.starts_with(['+', '-']),
        Kind::Environment => text.starts_with('-'),
        _ => false,
    }
}

/// Reads it.
pub fn edit(kind: Kind, text: &str) -> Result<Items, String> {
    let mut items = Items::default();
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let (list, name) = match (item.strip_prefix('+'), item.strip_prefix('-')) {
            (Some(name), _) if kind != Kind::Environment => (&mut items.add, name),
            (_, Some(name)) => (&mut items.remove, name),
            (_, None) => {
                return Err(format!("{item:?} needs a sign, as the others have: + adds, - takes out"));
            }
        };
        let valid = match kind {
            Kind::Groups => is_group(name),
            Kind::Environment => is_variable(name),
            _ => UserName::parse(name).is_ok(),
        };
        if !valid {
            return Err(format!("{name:?} is not a valid name"));
        }
        list.push(name.to_owned());
    }
    Ok(items)
}

impl ListEdit {
    /// Changes the list in the layer that it belongs to.
    pub fn apply(&self, layer: &mut Map<String, Value>) {
        let mut list: Vec<String> = match layer.remove(self.member) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let same = |entry: &str, item: &str| self.name(entry) == self.name(item);
        list.retain(|entry| !self.items.remove.iter().any(|item| same(entry, item)));
        for item in &self.items.add {
            if !list.iter().any(|entry| same(entry, item)) {
                list.push(item.clone());
            }
        }
        if self.layer != Layer::Privileged {
            list.sort();
        }
        if !list.is_empty() {
            layer.insert(self.member.to_owned(), list.into());
        }
    }

    /// What tells an entry from others: of a variable its name, of a key all but the comment.
    fn name<'a>(&self, entry: &'a str) -> &'a str {
        match self.member {
            "environment" => entry.split('=').next().unwrap_or(entry),
            "sshAuthorizedKeys" => {
                let mut words = entry.match_indices(' ').map(|(at, _)| at);
                words.nth(1).map_or(entry, |end| &entry[..end])
            }
            _ => entry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn after(member: &'static str, layer: Layer, before: Value, items: Items) -> Value {
        let mut members = Map::from_iter([(member.to_owned(), before)]);
        ListEdit { member, layer, items }.apply(&mut members);
        members.remove(member).unwrap_or(Value::Null)
    }

    #[test]
    fn others_stay_as_they_are() {
        let groups = edit(Kind::Groups, "+wheel,-audio,+video").expect("read");
        let before = json!(["audio", "games", "video"]);
        assert_eq!(after("memberOf", Layer::Top, before, groups), json!(["games", "video", "wheel"]));
        let gone = edit(Kind::Groups, "-audio").expect("read");
        assert_eq!(after("memberOf", Layer::Top, json!(["audio"]), gone), Value::Null);
        let variable = edit(Kind::Environment, "-A").expect("read");
        assert_eq!(after("environment", Layer::Top, json!(["A=1", "AB=2"]), variable), json!(["AB=2"]));
        let key = Items::all('-', &["ssh-ed25519 AAAA"]);
        let keys = json!(["ssh-ed25519 AAAA me@here", "ssh-ed25519 BBBB"]);
        assert_eq!(after("sshAuthorizedKeys", Layer::Privileged, keys, key), json!(["ssh-ed25519 BBBB"]));
    }

    #[test]
    fn signs_are_for_all_or_for_none() {
        assert!(edit(Kind::Groups, "+wheel,audio").is_err());
        assert!(edit(Kind::Groups, "+in valid").is_err());
        assert!(edit(Kind::Environment, "-A=1").is_err());
        assert!(!is_edit(Kind::Groups, "wheel,audio") && !is_edit(Kind::Environment, "A=-1"));
    }
}
