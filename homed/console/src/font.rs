//! Fonts of the kernel's console: pictures of letters, as KDFONTOP of ioctl_console(2) has them.

/// Letters are not wider, in pixels.
pub const WIDEST: usize = 32;
/// Nor higher; each takes the place of so many rows, whether it has them or not.
pub const HIGHEST: usize = 32;
/// There are no more of them.
pub const MOST: usize = 512;

/// A font.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Font {
    /// Of a letter, in pixels.
    pub width: usize,
    /// The same.
    pub height: usize,
    /// Letter after letter [`HIGHEST`] rows, each of whole bytes, the left pixel in the highest bit.
    pub rows: Vec<u8>,
}

impl Font {
    /// How many letters it has.
    pub fn count(&self) -> usize {
        self.rows.len() / (HIGHEST * self.width.div_ceil(8).max(1))
    }

    /// The same letters in twice the size; `None`: the kernel draws none so large.
    pub fn doubled(&self) -> Option<Self> {
        let (width, height) = (self.width * 2, self.height * 2);
        if width > WIDEST || height > HIGHEST || width == 0 || height == 0 {
            return None;
        }
        let (narrow, wide) = (self.width.div_ceil(8), width.div_ceil(8));
        let mut rows = Vec::with_capacity(self.count() * HIGHEST * wide);
        for letter in self.rows.chunks_exact(HIGHEST * narrow) {
            for row in letter.chunks_exact(narrow).take(self.height) {
                let wider = widened(row, wide);
                rows.extend_from_slice(&wider);
                rows.extend_from_slice(&wider);
            }
            rows.resize(rows.len() + (HIGHEST - height) * wide, 0);
        }
        Some(Self { width, height, rows })
    }
}

/// Each pixel twice, in so many bytes.
fn widened(row: &[u8], bytes: usize) -> Vec<u8> {
    let mut wide = vec![0; bytes];
    for pixel in 0..bytes * 8 {
        let from = pixel / 2;
        let set = row.get(from / 8).is_some_and(|byte| byte & 0x80 >> (from % 8) != 0);
        if set {
            wide[pixel / 8] |= 0x80 >> (pixel % 8);
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_four() {
        let mut rows = vec![0; 2 * HIGHEST];
        (rows[0], rows[15], rows[HIGHEST + 1]) = (0b1000_0001, 0b0101_0000, 0b1111_0000);
        let large = Font { width: 8, height: 16, rows }.doubled().expect("there are such");
        assert_eq!((large.width, large.height, large.count()), (16, 32, 2));
        let row = |letter: usize, row: usize| large.rows[(letter * HIGHEST + row) * 2..][..2].to_vec();
        assert_eq!((row(0, 0), row(0, 1)), (vec![0b1100_0000, 0b0000_0011], vec![0b1100_0000, 0b0000_0011]));
        assert_eq!((row(0, 2), row(0, 30)), (vec![0, 0], vec![0b0011_0011, 0]));
        assert_eq!((row(1, 1), row(1, 2), row(1, 3)), (vec![0, 0], vec![0xff, 0], vec![0xff, 0]));
    }

    #[test]
    fn what_the_kernel_cannot_draw_is_not_made() {
        let font =
            |width: usize, height| Font { width, height, rows: vec![0; 256 * HIGHEST * width.div_ceil(8)] };
        assert_eq!((font(16, 32).doubled(), font(8, 18).doubled(), font(0, 0).doubled()), (None, None, None));
        // A font of rows that are no whole number of bytes.
        let large = font(12, 16).doubled().expect("there are such");
        assert_eq!((large.width, large.count(), large.rows.len()), (24, 256, 256 * HIGHEST * 3));
    }
}
