//! `--token-name=` and `--remove-token=`: what keys are called, and which of them go.

use super::Special;
use records::keys::{self, NamedKey};
use records::{Record, Sections};
use serde_json::{Map, Value};

/// What the options say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenWish {
    /// What the key is to be called that is enrolled.
    pub new: Option<String>,
    /// Which key gets which other name.
    renamed: Vec<(String, String)>,
    /// Which keys go.
    removed: Vec<String>,
}

impl TokenWish {
    /// One of the options. An empty value takes back what was said before.
    pub fn take(&mut self, special: Special, value: &str) -> Result<(), String> {
        match (special, value) {
            (Special::RemoveToken, "") => self.removed.clear(),
            (Special::RemoveToken, which) => self.removed.push(which.to_owned()),
            (_, "") => (self.new, self.renamed) = (None, Vec::new()),
            (_, value) => {
                let (which, name) =
                    value.split_once('=').map_or((None, value), |(which, name)| (Some(which), name));
                if !keys::is_name(name) {
                    return Err(
                        "a name has at most 64 letters, figures, marks and spaces, no =, and is no number"
                            .into(),
                    );
                }
                match which {
                    Some(which) => self.renamed.push((which.to_owned(), name.to_owned())),
                    None => self.new = Some(name.to_owned()),
                }
            }
        }
        Ok(())
    }

    /// What makes no sense together, as a sentence; `enrolled`: how many keys the other options make.
    pub fn check(&self, enrolled: usize) -> Result<(), String> {
        match (&self.new, enrolled) {
            (Some(_), 1) | (None, _) => Ok(()),
            (Some(_), 0) => {
                Err("--token-name=NAME names what is enrolled with it. To change the name of one that is \
                                 there: --token-name=NUMBER=NAME; homectl inspect --details shows the numbers"
                    .into())
            }
            (Some(_), _) => Err("--token-name= is for one key at a time".into()),
        }
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.renamed.is_empty() && self.removed.is_empty()
    }

    /// Which keys are meant: numbers and names are those of this record. The error is for the user.
    pub fn meant(&self, record: &Record) -> Result<Meant<'_>, String> {
        let all = record.named_keys();
        let rename = |(which, name): &'_ (String, String)| {
            Ok(Renamed { key: find(&all, which)?.clone(), name: name.clone() })
        };
        let renamed: Result<_, String> = self.renamed.iter().map(rename).collect();
        let removed: Result<_, String> =
            self.removed.iter().map(|which| find(&all, which).cloned()).collect();
        Ok(Meant { wish: self, renamed: renamed?, removed: removed? })
    }

    fn refuse_one_name_for_two(&self, members: &Map<String, Value>) -> Result<(), String> {
        let record = Record::from_value(Value::Object(members.clone()), Sections::HOST);
        let all = record.map_err(|error| error.to_string())?.named_keys();
        let given = self.renamed.iter().map(|(_, name)| name).chain(&self.new);
        let count = |name: &String| all.iter().filter(|key| key.name.as_ref() == Some(name)).count();
        match given.into_iter().find(|name| count(name) > 1) {
            Some(name) => Err(format!("Another key is called {name} already")),
            None => Ok(()),
        }
    }
}

/// The keys that the options mean. They stay the same ones where the record has changed and its keys have other numbers.
pub struct Meant<'a> {
    wish: &'a TokenWish,
    renamed: Vec<Renamed>,
    removed: Vec<NamedKey>,
}

struct Renamed {
    key: NamedKey,
    name: String,
}

impl Meant<'_> {
    /// All of that kind have been replaced: those that were to go have gone, and none of them gets a name.
    pub fn are_gone(&mut self, kind: keys::KeyKind) {
        self.removed.retain(|key| key.kind != kind);
        self.renamed.retain(|one| one.key.kind != kind);
    }

    /// Takes out of the members of `record` what goes: before anything is enrolled, for a card or a PIN that is enrolled anew is
    /// told from others by the same text. Refused where a key that was meant is not in the record any more.
    pub fn remove(&self, record: &Record, members: &mut Map<String, Value>) -> Result<(), String> {
        let all = record.named_keys();
        let is_there = |key: &NamedKey| all.iter().any(|one| is_same(one, key));
        if let Some(gone) =
            self.renamed.iter().map(|one| &one.key).chain(&self.removed).find(|key| !is_there(key))
        {
            let called = gone.called().map(|name| format!(" {name}")).unwrap_or_default();
            return Err(format!(
                "The {}{called} that was meant is not in the home's record any more: it was changed elsewhere. homectl inspect \
                 --details shows what it has now",
                gone.kind.words
            ));
        }
        self.removed.iter().for_each(|key| keys::take_out(members, key.kind, &key.id));
        Ok(())
    }

    /// Gives names, once what is enrolled is there, too.
    pub fn rename(&self, members: &mut Map<String, Value>) -> Result<(), String> {
        for Renamed { key, name } in &self.renamed {
            let known = keys::named(members, key.kind, &key.id);
            keys::describe(members, &NamedKey { name: Some(name.clone()), ..known });
        }
        self.wish.refuse_one_name_for_two(members)?;
        keys::sweep(members);
        Ok(())
    }
}

fn is_same(one: &NamedKey, other: &NamedKey) -> bool {
    (one.kind, &one.id) == (other.kind, &other.id)
}

/// The key of that number, from 1, or name.
fn find<'a>(all: &'a [NamedKey], which: &str) -> Result<&'a NamedKey, String> {
    // As names are told from numbers: "+1" is a name.
    if which.chars().all(|letter| letter.is_ascii_digit()) {
        let at = which.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        return at
            .and_then(|at| all.get(at))
            .ok_or_else(|| format!("The home has no key of the number {which}"));
    }
    let mut called = all.iter().filter(|key| key.name.as_deref() == Some(which));
    match (called.next(), called.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(format!("Several keys are called {which}: give a number")),
        (None, _) => Err(format!("No key of the home is called {which}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members() -> Map<String, Value> {
        let key = |id: &str| json!({"credential": id, "salt": "AAAA", "hashedPassword": "$y$1"});
        let mut members = Map::new();
        members.insert("userName".into(), json!("alice"));
        keys::put(&mut members, keys::SECURITY_KEY, key("AAAA"));
        keys::put(&mut members, keys::SECURITY_KEY, key("BBBB"));
        members
    }

    fn changed(members: &mut Map<String, Value>, options: &[(Special, &str)]) -> Result<Vec<String>, String> {
        let mut wish = TokenWish::default();
        options.iter().try_for_each(|(special, value)| wish.take(*special, value))?;
        let read = |members: &Map<String, Value>| {
            Record::from_value(Value::Object(members.clone()), Sections::HOST).expect("valid")
        };
        let (before, meant) = (read(members), wish.meant(&read(members))?);
        meant.remove(&before, members)?;
        meant.rename(members)?;
        Ok(read(members).named_keys().iter().map(|key| key.called().unwrap_or("-").to_owned()).collect())
    }

    #[test]
    fn what_was_replaced_is_not_meant_any_more() {
        let (mut wish, members) = (TokenWish::default(), members());
        wish.take(Special::RemoveToken, "1").and(wish.take(Special::TokenName, "2=blue")).expect("taken");
        let record = Record::from_value(Value::Object(members), Sections::HOST).expect("valid");
        let mut meant = wish.meant(&record).expect("there");
        meant.are_gone(keys::RECOVERY_KEY);
        assert_eq!((meant.removed.len(), meant.renamed.len()), (1, 1), "of another kind");
        meant.are_gone(keys::SECURITY_KEY);
        assert_eq!((meant.removed.len(), meant.renamed.len()), (0, 0));
    }

    #[test]
    fn keys_are_meant_by_number_or_name() {
        use Special::{RemoveToken, TokenName};
        let mut members = members();
        assert_eq!(changed(&mut members, &[(TokenName, "2=blue")]), Ok(vec!["-".into(), "blue".into()]));
        // All of it is about the record as it was.
        let both = [(RemoveToken, "1"), (TokenName, "blue=dark blue")];
        assert_eq!(changed(&mut members.clone(), &both), Ok(vec!["dark blue".into()]));
        for (special, value) in [
            (TokenName, "3=red"),
            (TokenName, "0=red"),
            (TokenName, "red=green"),
            (TokenName, "1=blue"),
            (TokenName, "1=2"),
            (TokenName, "1=a=b"),
            (RemoveToken, "red"),
            (RemoveToken, "+1"),
            (RemoveToken, "99999999999999999999"),
        ] {
            assert!(changed(&mut members.clone(), &[(special, value)]).is_err(), "{value}");
        }
        assert_eq!(changed(&mut members, &[(RemoveToken, "blue")]), Ok(vec!["-".into()]));
    }

    #[test]
    fn the_key_that_was_meant_goes_whatever_its_number_is_by_then() {
        let read = |members: &Map<String, Value>| {
            Record::from_value(Value::Object(members.clone()), Sections::HOST).expect("valid")
        };
        let ids = |members: &Map<String, Value>| -> Vec<String> {
            read(members).named_keys().iter().map(|key| key.id.clone()).collect()
        };
        let mut wish = TokenWish::default();
        wish.take(Special::RemoveToken, "2").expect("taken");
        let first = read(&members());
        let meant = wish.meant(&first).expect("there");
        // A card was enrolled elsewhere, which comes before security keys.
        let mut newer = members();
        keys::put(
            &mut newer,
            keys::SMART_CARD,
            json!({"uri": "pkcs11:token=a", "data": "AAAA", "hashedPassword": "$y$2"}),
        );
        meant.remove(&read(&newer), &mut newer).expect("there");
        assert_eq!(ids(&newer), ["pkcs11:token=a", "AAAA"]);
        // It is gone already: another one of its number stays.
        let before = newer.clone();
        assert!(
            meant
                .remove(&read(&before), &mut newer)
                .is_err_and(|why| why.starts_with("The security key that"))
        );
        assert_eq!(newer, before);
    }

    #[test]
    fn a_new_name_is_for_one_new_key() {
        let mut wish = TokenWish::default();
        assert_eq!(wish.take(Special::TokenName, "blue"), Ok(()));
        assert!(wish.check(0).is_err() && wish.check(1).is_ok() && wish.check(2).is_err());
        assert_eq!(wish.take(Special::TokenName, ""), Ok(()));
        assert!(wish.check(0).is_ok());
    }
}
