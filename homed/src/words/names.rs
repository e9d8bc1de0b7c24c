//! The names a home answers to.

use records::Record;
use serde_json::Value;

/// Primary name, `name@realm`, and every alias in both forms.
pub fn all(record: &Record) -> Vec<String> {
    let user = record.user().to_string();
    let aliases = record.members().get("aliases").and_then(Value::as_array);
    let aliases = aliases.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let plain: Vec<String> = std::iter::once(user).chain(aliases).collect();
    let Some(realm) = &record.full_name().realm else { return plain };
    let with_realm: Vec<String> = plain.iter().map(|name| format!("{name}@{}", realm.as_str())).collect();
    plain.into_iter().chain(with_realm).collect()
}
