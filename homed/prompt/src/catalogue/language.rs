//! Which language somebody reads.

use crate::assigned;

/// Those that there is a catalogue for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Language {
    /// What the texts are written in.
    #[default]
    English,
    /// German.
    German,
    /// French.
    French,
    /// Spanish.
    Spanish,
    /// Japanese.
    Japanese,
    /// Chinese, as it is written in China and Singapore.
    Chinese,
}

/// Where the machine's locale is set: locale.conf(5), and Debian's older place.
const FILES: [&str; 2] = ["/etc/locale.conf", "/etc/default/locale"];
/// What of a locale says which language messages have, in falling priority: locale(7).
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

impl Language {
    /// All there are.
    #[cfg(test)]
    pub const ALL: [Self; 6] =
        [Self::English, Self::German, Self::French, Self::Spanish, Self::Japanese, Self::Chinese];

    /// Of a locale's name (`de_AT.UTF-8@euro`); English where there is no catalogue for it.
    pub fn of_locale(locale: &str) -> Self {
        let name = locale.split(['.', '@']).next().unwrap_or_default().replace('-', "_").to_lowercase();
        let (language, place) = name.split_once('_').unwrap_or((&name, ""));
        match (language, place) {
            ("de", _) => Self::German,
            ("fr", _) => Self::French,
            ("es", _) => Self::Spanish,
            ("ja", _) => Self::Japanese,
            ("zh", "" | "cn" | "sg" | "hans") => Self::Chinese,
            _ => Self::English,
        }
    }

    /// Its name, as its file is called.
    #[cfg(test)]
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Japanese => "ja",
            Self::Chinese => "zh_CN",
        }
    }

    /// Its translators' file; English has none.
    pub fn file(self) -> Option<&'static str> {
        match self {
            Self::English => None,
            Self::German => Some(include_str!("../../po/de.po")),
            Self::French => Some(include_str!("../../po/fr.po")),
            Self::Spanish => Some(include_str!("../../po/es.po")),
            Self::Japanese => Some(include_str!("../../po/ja.po")),
            Self::Chinese => Some(include_str!("../../po/zh_CN.po")),
        }
    }
}

/// The machine's.
pub fn of_machine() -> Language {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let environment = VARIABLES.iter().find_map(set);
    let locale =
        environment.or_else(|| FILES.iter().find_map(|file| in_file(&std::fs::read_to_string(file).ok()?)));
    Language::of_locale(&locale.unwrap_or_default())
}

fn in_file(text: &str) -> Option<String> {
    VARIABLES.iter().find_map(|name| assigned::value(text, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_have_a_language() {
        let languages =
            ["de_AT.UTF-8@euro", "fr", "es_MX", "ja_JP.UTF-8", "zh_CN.UTF-8", "zh-Hans", "zh_TW.UTF-8"];
        use Language::{Chinese, English, French, German, Japanese, Spanish};
        let expected = [German, French, Spanish, Japanese, Chinese, Chinese, English];
        assert_eq!(languages.map(Language::of_locale), expected);
        assert_eq!(["", "C", "POSIX", "C.UTF-8", "pl_PL", "deutsch"].map(Language::of_locale), [English; 6]);
    }

    #[test]
    fn what_says_more_of_messages_counts() {
        assert_eq!(in_file("LANG=de_DE.UTF-8\nLC_TIME=fr_FR\n").as_deref(), Some("de_DE.UTF-8"));
        assert_eq!(in_file("LANG=\"de_DE\"\nLC_MESSAGES='fr_FR'\n").as_deref(), Some("fr_FR"));
        assert_eq!(in_file("# LANG=de_DE\n"), None);
    }
}
