//! What `homed.conf` says about the prompt: its section `[Prompt]`.

use crate::power::Wish;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folders in falling priority, as systemd has them.
const FOLDERS: [&str; 4] = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// How the prompt on a virtual terminal looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// All of the screen.
    Screen,
    /// Line by line: for whoever reads it with a braille display or has it spoken.
    Lines,
}

/// Whether the question is put to agents of systemd-ask-password as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agents {
    /// Where Plymouth is in front, or there is no terminal to ask at.
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// Whether letters are drawn in twice their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LargeText {
    /// Where they would be tiny.
    Auto,
    /// Wherever there is room.
    Yes,
    /// Never.
    No,
}

/// Colours of text and ground, by their numbers (console_codes(4), SGR 30 and 40 and on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colours {
    /// Of letters.
    pub text: u8,
    /// Behind them.
    pub ground: u8,
}

impl Default for Colours {
    /// White on black.
    fn default() -> Self {
        Self { text: 7, ground: 0 }
    }
}

/// The colours, in the order of their numbers.
const COLOURS: [&str; 8] = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/// `TEXT on GROUND`, which are not the same: nobody could read it.
fn colours(value: &str) -> Option<Colours> {
    let (text, ground) = value.split_once(" on ")?;
    let number = |name: &str| u8::try_from(COLOURS.iter().position(|other| *other == name.trim())?).ok();
    let colours = Colours { text: number(text)?, ground: number(ground)? };
    (colours.text != colours.ground).then_some(colours)
}

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// After a suspend, the machine sleeps again when nobody types for so long; `None`: never.
    pub sleep_again: Option<Duration>,
    /// How it looks.
    pub style: Style,
    /// Agents.
    pub agents: Agents,
    /// What can be asked for without a password.
    pub offers: BTreeSet<Wish>,
    /// The size of letters.
    pub large_text: LargeText,
    /// Colours of the screen.
    pub colours: Colours,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sleep_again: Some(Duration::from_secs(60)),
            style: Style::Screen,
            agents: Agents::Auto,
            offers: Wish::ALL.into(),
            large_text: LargeText::Auto,
            colours: Colours::default(),
        }
    }
}

impl Settings {
    /// Reads them. What is not understood is named in the log and left out.
    pub fn read() -> Self {
        let mut settings = Self::default();
        for file in files(&FOLDERS.map(PathBuf::from)) {
            for complaint in settings.apply(&std::fs::read_to_string(&file).unwrap_or_default()) {
                tell!("{}: {complaint}", file.display());
            }
        }
        settings
    }

    fn apply(&mut self, text: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut ours = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                ours = line == "[Prompt]";
            }
            let (true, Some((key, value))) = (ours && !line.starts_with(['#', ';']), line.split_once('='))
            else {
                continue;
            };
            if self.set(key.trim(), value.trim()).is_none() {
                complaints.push(format!("{line} is not known and is left out"));
            }
        }
        complaints
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let built_in = Self::default();
        match (key, value) {
            ("SleepAgainSec", "") => self.sleep_again = built_in.sleep_again,
            ("SleepAgainSec", "infinity" | "0") => self.sleep_again = None,
            ("SleepAgainSec", value) => {
                let seconds: u64 = value.strip_suffix('s').unwrap_or(value).trim().parse().ok()?;
                self.sleep_again = Some(Duration::from_secs(seconds));
            }
            ("Style", "" | "screen") => self.style = Style::Screen,
            ("Style", "lines") => self.style = Style::Lines,
            ("Agents", "" | "auto") => self.agents = Agents::Auto,
            ("Agents", "yes" | "true" | "1" | "on") => self.agents = Agents::Yes,
            ("Agents", "no" | "false" | "0" | "off") => self.agents = Agents::No,
            ("LargeText", "" | "auto") => self.large_text = LargeText::Auto,
            ("LargeText", "yes" | "true" | "1" | "on") => self.large_text = LargeText::Yes,
            ("LargeText", "no" | "false" | "0" | "off") => self.large_text = LargeText::No,
            ("Colors", "") => self.colours = built_in.colours,
            ("Colors", value) => self.colours = colours(value)?,
            ("Offers", "") => self.offers = built_in.offers,
            ("Offers", "none") => self.offers = BTreeSet::new(),
            ("Offers", words) => {
                self.offers = words.split_whitespace().map(Wish::of_word).collect::<Option<_>>()?;
            }
            _ => return None,
        }
        Some(())
    }
}

/// The main file, then the fragments by name; a higher folder hides a file of a lower one.
fn files(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut fragments = BTreeMap::new();
    for folder in folders.iter().rev() {
        let entries = std::fs::read_dir(folder.join("homed.conf.d")).into_iter().flatten().flatten();
        for path in
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "conf"))
        {
            fragments.insert(path.file_name().map(std::ffi::OsStr::to_owned), path);
        }
    }
    let main = folders.iter().map(|folder| folder.join("homed.conf")).find(|path| Path::exists(path));
    main.into_iter().chain(fragments.into_values()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_section_is_read_and_what_is_wrong_is_named() {
        let mut settings = Settings::default();
        let text = "[Home]\nSleepAgainSec=1\n[Prompt]\n# SleepAgainSec=2\nSleepAgainSec = 90s\nStyle=lines\nAgents=no\n\
                    Style=round\nColour=red\n";
        let complaints = settings.apply(text);
        assert_eq!(settings.sleep_again, Some(Duration::from_secs(90)));
        assert_eq!((settings.style, settings.agents), (Style::Lines, Agents::No));
        let left_out =
            ["Style=round", "Colour=red"].map(|line| format!("{line} is not known and is left out"));
        assert_eq!(complaints, left_out);
    }

    #[test]
    fn what_is_offered_is_what_the_administrator_lists() {
        let mut settings = Settings::default();
        assert_eq!(settings.offers, Wish::ALL.into());
        settings.apply("[Prompt]\nOffers=sleep  power-off\n");
        assert_eq!(settings.offers, [Wish::Sleep, Wish::PowerOff].into());
        // One word that is not known leaves all as it was.
        assert_eq!(settings.apply("[Prompt]\nOffers=sleep explode\n").len(), 1);
        assert_eq!(settings.offers, [Wish::Sleep, Wish::PowerOff].into());
        settings.apply("[Prompt]\nOffers=none\n");
        assert_eq!(settings.offers, [].into());
        settings.apply("[Prompt]\nOffers=\n");
        assert_eq!(settings.offers, Wish::ALL.into());
    }

    #[test]
    fn colours_are_two_that_can_be_told_apart() {
        let mut settings = Settings::default();
        assert_eq!(settings.apply("[Prompt]\nColors=yellow on blue\nLargeText=yes\n").len(), 0);
        assert_eq!(settings.colours, Colours { text: 3, ground: 4 });
        let wrong = ["blue on blue", "blue", "pink on black", "on", "red on green on blue"];
        for value in wrong {
            assert_eq!(settings.apply(&format!("[Prompt]\nColors={value}\n")).len(), 1, "{value}");
        }
        assert_eq!((settings.colours, settings.large_text), (Colours { text: 3, ground: 4 }, LargeText::Yes));
        settings.apply("[Prompt]\nColors=\nLargeText=\n");
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn nothing_is_the_built_in_value_again_and_zero_is_never() {
        let mut settings = Settings::default();
        settings.apply("[Prompt]\nSleepAgainSec=infinity\n");
        assert_eq!(settings.sleep_again, None);
        settings.apply("[Prompt]\nSleepAgainSec=\nStyle=\nAgents=\nOffers=\n");
        assert_eq!(settings, Settings::default());
        settings.apply("[Prompt]\nSleepAgainSec=-5\nSleepAgainSec=soon\n");
        assert_eq!(settings, Settings::default());
    }
}
