//! What is seen, dot by dot.

use anyhow::{Context, Result, ensure};

/// A picture: red, green and blue of each dot.
pub struct Picture(Vec<u8>);

impl Picture {
    /// Reads qemu's own kind, a PPM: `P6`, width, height and 255, and then the dots.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut rest = bytes;
        let mut word = || {
            let end = rest.iter().position(u8::is_ascii_whitespace).context("a picture that is cut off")?;
            let word = std::str::from_utf8(&rest[..end])?;
            rest = &rest[end + 1..];
            anyhow::Ok(word)
        };
        ensure!(word()? == "P6", "no PPM");
        let (width, height): (usize, usize) = (word()?.parse()?, word()?.parse()?);
        ensure!(word()? == "255", "dots of another size");
        ensure!(rest.len() == width * height * 3, "a picture that is cut off");
        Ok(Self(rest.to_vec()))
    }

    /// All dots.
    pub fn dots(&self) -> impl Iterator<Item = [u8; 3]> {
        self.0.as_chunks().0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_read_behind_the_head() {
        let picture = Picture::read(b"P6\n2 1\n255\n\x01\x02\x03\n\r ").expect("a picture");
        assert_eq!(picture.dots().collect::<Vec<_>>(), [[1, 2, 3], [10, 13, 32]]);
        assert!(Picture::read(b"P6\n2 1\n255\n\x01").is_err());
    }
}
