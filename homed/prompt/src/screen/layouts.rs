//! The layouts that a key goes through: the console's own, then those that are set for X and desktops (localed). One that was chosen is in
//! force while we are in front.

use crate::assigned;
use crate::keymap::{self, Layout};
use console::Terminal;
use std::fs;

/// Where layouts for X are set: vconsole.conf(5), keyboard(5).
const FILES: [&str; 2] = ["/etc/vconsole.conf", "/etc/default/keyboard"];
/// Where older versions of localed set them: xorg.conf(5).
const XORG: &str = "/etc/X11/xorg.conf.d/00-keyboard.conf";

/// Those there are.
#[derive(Debug, Default)]
pub struct Layouts {
    all: Vec<Layout>,
    /// The one that was chosen; `None`: the console's own.
    chosen: Option<usize>,
}

impl Layouts {
    /// Those that are set on this machine.
    pub fn of_machine() -> Self {
        let text = |file| fs::read_to_string(file).unwrap_or_default();
        let set = FILES.iter().find_map(|file| {
            let text = text(*file);
            let names = assigned::value(&text, "XKBLAYOUT")?;
            Some(list(&names, &assigned::value(&text, "XKBVARIANT").unwrap_or_default()))
        });
        let all = set.unwrap_or_else(|| of_xorg(&text(XORG)));
        Self { all, ..Self::default() }
    }

    /// Whether there is any but the console's own.
    pub fn are_several(&self) -> bool {
        !self.all.is_empty()
    }

    /// What the chosen one is called; `None`: it is the console's own.
    pub fn name(&self) -> Option<String> {
        self.chosen.and_then(|chosen| self.all.get(chosen)).map(Layout::in_words)
    }

    /// The next one; else which could not be loaded, and why. That one is left out then.
    pub fn turn(&mut self, terminal: &Terminal) -> Result<(), (String, String)> {
        let next = self.chosen.map_or(0, |chosen| chosen + 1);
        match self.all.get(next) {
            Some(layout) => {
                if let Err(why) = keymap::load(terminal, layout) {
                    // The console's own is in force.
                    self.chosen = None;
                    return Err((self.all.remove(next).in_words(), why));
                }
                self.chosen = Some(next);
                Ok(())
            }
            None => {
                self.chosen = None;
                keymap::put_back(terminal).map_err(|why| (String::new(), why.to_string()))
            }
        }
    }

    /// Somebody may have gone to another terminal, or come back: the keymap is that of all of them.
    pub fn follow(&mut self, terminal: &Terminal, in_front: bool) {
        let Some(layout) = self.chosen.and_then(|chosen| self.all.get(chosen)) else { return };
        // Whoever watches over us may have put it back, too, while PAM was at work here.
        let followed = match (in_front, keymap::is_changed()) {
            (true, false) => keymap::load(terminal, layout),
            (false, true) => keymap::put_back(terminal).map_err(|why| why.to_string()),
            (true, true) | (false, false) => return,
        };
        if let Err(why) = followed {
            tell!("the keyboard's layout: {why}");
        }
    }
}

/// Names and variants, each separated by commas; a variant belongs to the name in its place.
fn list(names: &str, variants: &str) -> Vec<Layout> {
    let mut variants = variants.split(',');
    let layouts = names.split(',').map(|name| {
        let variant = variants.next().unwrap_or_default().trim();
        Layout { name: name.trim().to_owned(), variant: variant.to_owned() }
    });
    layouts.filter(|layout| !layout.name.is_empty()).collect()
}

fn of_xorg(text: &str) -> Vec<Layout> {
    let option = |name: &str| {
        let mut quoted = text.lines().map(|line| line.split('"').collect::<Vec<_>>());
        quoted.find_map(|parts| match parts[..] {
            [before, option, _, value, ..]
                if before.trim() == "Option" && option.eq_ignore_ascii_case(name) =>
            {
                Some(value.to_owned())
            }
            _ => None,
        })
    };
    list(&option("XkbLayout").unwrap_or_default(), &option("XkbVariant").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(layouts: &[Layout]) -> Vec<String> {
        layouts.iter().map(Layout::in_words).collect()
    }

    #[test]
    fn a_variant_belongs_to_the_name_in_its_place() {
        assert_eq!(names(&list("us,de , fr", ",nodeadkeys")), ["us", "de nodeadkeys", "fr"]);
        assert_eq!(names(&list("", "intl")), [""; 0]);
    }

    #[test]
    fn the_file_of_older_versions_is_read() {
        let text = "Section \"InputClass\"\n  Identifier \"system-keyboard\"\n  Option \"XkbLayout\" \"us,de\"\n \
                    Option \"XkbVariant\" \"dvorak,\"\nEndSection\n";
        assert_eq!(names(&of_xorg(text)), ["us dvorak", "de"]);
        assert_eq!(names(&of_xorg("# Option \"XkbLayout\" \"us\"\n")), [""; 0]);
    }
}
