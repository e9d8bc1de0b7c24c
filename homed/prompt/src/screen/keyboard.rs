//! Which keyboard layout is in force, and Caps Lock, in words: who types a password does not see what it becomes.

use crate::assigned;
use console::Terminal;
use std::fs;
use std::path::Path;

/// The kernel's numbers for the first six letters of the upper row (linux/input-event-codes.h).
const ROW: std::ops::RangeInclusive<u8> = 16..=21;
/// Where the console's layout is set, in which words: vconsole.conf(5), keyboard(5).
const SET: [(&str, &str); 3] = [
    ("/etc/vconsole.conf", "KEYMAP"),
    ("/etc/vconsole.conf", "XKBLAYOUT"),
    ("/etc/default/keyboard", "XKBLAYOUT"),
];
/// The lights of keyboards. Layouts that have another lock on that key than the kernel's own show it there alone.
const LIGHTS: &str = "/sys/class/leds";

/// The layout in words: what it is called (as it was chosen, else as far as that is set), and what its keys make in truth.
pub fn layout(terminal: &Terminal, chosen: Option<String>) -> String {
    let row: String = ROW.filter_map(|key| terminal.character(key).ok().flatten()).collect();
    let set = || SET.iter().find_map(|(file, key)| assigned::value(&fs::read_to_string(file).ok()?, key));
    words(chosen.or_else(set).as_deref(), &row)
}

fn words(name: Option<&str>, row: &str) -> String {
    let all = [name.unwrap_or_default().to_owned(), row.to_uppercase()];
    let told: Vec<String> = all.into_iter().filter(|word| !word.is_empty()).collect();
    told.join(", ")
}

/// Whether Caps Lock is on.
pub fn caps_lock(terminal: &Terminal) -> bool {
    terminal.caps_lock().unwrap_or(false) || light(Path::new(LIGHTS))
}

fn light(lights: &Path) -> bool {
    let mut all = fs::read_dir(lights).into_iter().flatten().flatten();
    all.any(|entry| {
        let caps = entry.file_name().to_string_lossy().ends_with("::capslock");
        let is_on = |text: String| text.trim().parse::<u32>().is_ok_and(|brightness| brightness > 0);
        caps && fs::read_to_string(entry.path().join("brightness")).is_ok_and(is_on)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_said_where_it_is_set_and_the_keys_always() {
        assert_eq!(words(Some("de"), "qwertz"), "de, QWERTZ");
        assert_eq!((words(None, "azerty"), words(None, "")), ("AZERTY".into(), String::new()));
    }

    #[test]
    fn the_light_counts_whatever_makes_it_shine() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let put = |name: &str, brightness: &str| {
            fs::create_dir_all(folder.path().join(name)).expect("made");
            fs::write(folder.path().join(name).join("brightness"), brightness).expect("written");
        };
        put("input3::numlock", "1\n");
        put("input3::capslock", "0\n");
        assert!(!light(folder.path()));
        put("input7::capslock", "1\n");
        assert!(light(folder.path()));
    }
}
