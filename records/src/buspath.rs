//! Names as D-Bus path elements: bytes outside `[A-Za-z0-9]`, and a leading digit, become `_xx`.

/// The object below which each home has its own.
pub const HOMES: &str = "/org/freedesktop/home1/home";

/// One path element.
pub fn escape(name: &str) -> String {
    if name.is_empty() {
        return "_".into();
    }
    let escape = |(i, b): (usize, u8)| match b {
        b'0'..=b'9' if i > 0 => char::from(b).to_string(),
        b'A'..=b'Z' | b'a'..=b'z' => char::from(b).to_string(),
        _ => format!("_{b:02x}"),
    };
    name.bytes().enumerate().map(escape).collect()
}

/// The name behind a path element; `None` where it is not one.
pub fn unescape(label: &str) -> Option<String> {
    if label == "_" {
        return Some(String::new());
    }
    let mut bytes = Vec::new();
    let mut rest = label.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'_' {
            let (hex, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_sd_bus_does() {
        for (name, label) in
            [("alice", "alice"), ("test-user", "test_2duser"), ("", "_"), ("1a", "_31a"), ("a_b", "a_5fb")]
        {
            assert_eq!(escape(name), label);
            assert_eq!(unescape(label).as_deref(), Some(name));
        }
        assert_eq!(unescape("_2"), None);
    }
}
