//! Settings of the kernel that are a file with one value, under /proc/sys and /sys.

use std::fs;
use std::io;

/// Its value; of a file that lists all there are (`always [madvise] never`), the one that counts. `None`: this kernel
/// does not have it, or does not tell.
pub fn read(path: &str) -> Option<String> {
    Some(chosen(&fs::read_to_string(path).ok()?).to_owned())
}

/// Sets it.
pub fn write(path: &str, value: &str) -> io::Result<()> {
    fs::write(path, value)
}

fn chosen(text: &str) -> &str {
    let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(text, |(value, _)| value).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_alone_or_from_a_list() {
        assert_eq!(chosen("60\n"), "60");
        assert_eq!(chosen("always defer defer+madvise [madvise] never\n"), "madvise");
        assert_eq!(read("/proc/sys/vm/no-such-setting"), None);
    }
}
