//! JSON as bytes: the compact form that is signed, and the pretty form that is stored.
//!
//! Normalized: members sorted bytewise by name, arrays in their order, strings raw UTF-8 with only
//! `"`, `\` and control characters escaped, integers in plain decimal. `serde_json`'s own map is
//! sorted, and its escapes are the ones that systemd writes; both are held by tests.
//!
//! Real numbers have no normal form here, as in the original: [`is_signable`] says so.

use serde_json::Value;

/// One line, no white space.
pub fn compact(value: &Value) -> String {
    value.to_string()
}

/// Several lines: a tab per level, `"name" : value`, no newline at the end.
pub fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write_pretty(value, 0, &mut text);
    text
}

/// Whether the value has a normal form: all its numbers are 64-bit integers.
pub fn is_signable(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Array(items) => items.iter().all(is_signable),
        Value::Object(members) => members.values().all(is_signable),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn write_pretty(value: &Value, level: usize, text: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            text.push_str("[\n");
            for (i, item) in items.iter().enumerate() {
                begin_line(i, level + 1, text);
                write_pretty(item, level + 1, text);
            }
            end_block(level, ']', text);
        }
        Value::Object(members) if !members.is_empty() => {
            text.push_str("{\n");
            for (i, (name, member)) in members.iter().enumerate() {
                begin_line(i, level + 1, text);
                text.push_str(&Value::String(name.clone()).to_string());
                text.push_str(" : ");
                write_pretty(member, level + 1, text);
            }
            end_block(level, '}', text);
        }
        leaf => text.push_str(&leaf.to_string()),
    }
}

fn begin_line(index: usize, level: usize, text: &mut String) {
    if index > 0 {
        text.push_str(",\n");
    }
    text.extend(std::iter::repeat_n('\t', level));
}

fn end_block(level: usize, bracket: char, text: &mut String) {
    text.push('\n');
    text.extend(std::iter::repeat_n('\t', level));
    text.push(bracket);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_sorted_and_only_the_needed_is_escaped() {
        let value = json!({"b": [3, 1], "a": "é/\"\\\u{8}\u{c}\n\r\t\u{1}", "Z": {}, "y": -1, "n": null});
        assert_eq!(
            compact(&value),
            "{\"Z\":{},\"a\":\"é/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\",\"b\":[3,1],\"n\":null,\"y\":-1}"
        );
    }

    #[test]
    fn the_pretty_form_has_tabs_and_spaced_colons() {
        let value = json!({"a": [], "b": {}, "c": [1, {"d": "e"}]});
        assert_eq!(
            pretty(&value),
            "{\n\t\"a\" : [],\n\t\"b\" : {},\n\t\"c\" : [\n\t\t1,\n\t\t{\n\t\t\t\"d\" : \"e\"\n\t\t}\n\t]\n}"
        );
    }

    #[test]
    fn reals_have_no_normal_form() {
        assert!(is_signable(&json!({"a": [u64::MAX, i64::MIN]})));
        assert!(!is_signable(&json!({"a": [1.5]})));
    }
}
