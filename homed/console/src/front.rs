//! Which virtual terminal is in front, and what was.

use std::fs;

/// The terminal in front (`tty7`), where there are virtual terminals. Whoever has the file open can wait for a change.
pub const FRONT: &str = "/sys/class/tty/tty0/active";
/// Written by the prompt: the terminal that is its own, and the one that was in front before it, a line each.
pub const OURS: &str = "/run/homed/prompt";
/// Written by a worker that could not wait for the prompt and has brought an empty terminal to the front: what was there.
pub const BEFORE: &str = "/run/homed/before";
/// The number of the empty terminal: of those that the kernel has (63) one that nobody takes, since all begin with the lowest. No login
/// starts there by itself.
pub const EMPTY: u32 = 62;

/// The number of the virtual terminal in front; `None`: there are none.
pub fn in_front() -> Option<u32> {
    number(&fs::read_to_string(FRONT).ok()?)
}

/// Reads a terminal's number from its name.
pub fn number(name: &str) -> Option<u32> {
    name.trim().strip_prefix("tty")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_virtual_terminals() {
        assert_eq!((number("tty7\n"), number("tty62")), (Some(7), Some(62)));
        assert_eq!((number("ttyS0"), number("tty"), number("")), (None, None, None));
    }
}
