//! `--pkcs11-token-uri=`: which smart cards are to be enrolled.

use pkcs11::Uri;

/// What the options say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardWish {
    /// URIs, or `auto` for the one that is plugged in.
    pub uris: Vec<String>,
    /// `list`: only to be shown.
    pub list: bool,
}

impl CardWish {
    /// Takes one in.
    pub fn card(&mut self, value: &str) -> Result<(), String> {
        match value {
            "" => self.uris.clear(),
            "list" => self.list = true,
            "auto" => self.uris.push(value.to_owned()),
            _ => {
                let uri = Uri::parse(value).map_err(|why| format!("{why}, or be auto, or list"))?;
                if uri.has_pin {
                    return Err("a PIN has no place in a user record; it is asked for".to_owned());
                }
                self.uris.push(value.to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_at_once_and_a_pin_in_one_is_refused() {
        let mut wish = CardWish::default();
        for value in ["auto", "pkcs11:serial=1", "list"] {
            assert_eq!(wish.card(value), Ok(()), "{value}");
        }
        assert_eq!((wish.uris.len(), wish.list), (2, true));
        for value in
            ["/dev/x", "pkcs11:serial", "pkcs11:serial=1?pin-value=1234", "pkcs11:?pin-source=file:/x"]
        {
            assert!(wish.card(value).is_err(), "{value}");
        }
        assert_eq!(wish.card(""), Ok(()));
        assert!(wish.uris.is_empty());
    }
}
