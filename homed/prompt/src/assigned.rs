//! Files of assignments, as a shell would read them: vconsole.conf(5), locale.conf(5), machine-info(5), keyboard(5).

/// The last value that a shell would take for this name, if it is not empty.
pub fn value(text: &str, name: &str) -> Option<String> {
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    values
        .next_back()
        .map(|value| value.trim_matches(['"', '\'']).to_owned())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_comments_and_nothing() {
        let debian = "# man\nXKBMODEL=\"pc105\"\nXKBLAYOUT=\"de\"\nXKBVARIANT=\"\"\n";
        assert_eq!(value(debian, "XKBLAYOUT").as_deref(), Some("de"));
        assert_eq!((value(debian, "XKBVARIANT"), value("#KEYMAP=fr\n", "KEYMAP")), (None, None));
    }
}
