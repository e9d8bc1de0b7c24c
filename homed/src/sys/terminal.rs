//! Terminals of others: which one a process is on. What can be done with it is in the crate `console`.

use std::path::{Path, PathBuf};

pub use console::{
    BEFORE, EMPTY, FRONT, HUSHED, Modes, Terminal, Typed, in_front, place_of_line, place_to_line,
    text_of_line, text_to_line,
};

/// devices.txt in the kernel's documentation: the major numbers of pseudo-terminals, of both kinds.
const PSEUDO: [std::ops::RangeInclusive<u64>; 3] = [2..=3, 128..=135, 136..=143];

/// The name in `/dev` of a process's controlling terminal, if that is a true line or screen: nobody is before a
/// pseudo-terminal.
pub fn controlling(pid: u32) -> Option<PathBuf> {
    let text = super::procfs::text(format!("/proc/{pid}/stat")).ok()?;
    let (major, minor) = numbers(&text)?;
    let real = major != 0 && !PSEUDO.iter().any(|pseudo| pseudo.contains(&major));
    let text =
        real.then(|| std::fs::read_to_string(format!("/sys/dev/char/{major}:{minor}/uevent")).ok())??;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name.trim_start_matches("/dev/")))
}

/// The device's numbers, proc_pid_stat(5): field 7, after the name in brackets.
fn numbers(stat: &str) -> Option<(u64, u64)> {
    let device: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(4)?.parse().ok()?;
    Some((device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controlling_terminal_is_read_behind_any_name() {
        let stat = "17 (a) b (c)) S 1 17 17 1026 17 4194304 0 0";
        assert_eq!(numbers(stat), Some((4, 2)));
        assert_eq!(numbers("17 (sh) S 1 17 17 34817 17"), Some((136, 1)));
        assert_eq!(numbers("17 (sh) S 1 17 17 0 -1"), Some((0, 0)));
    }
}
