//! QR codes on a terminal (ISO/IEC 18004), two modules a character: bright on a background that is made black, whatever the
//! terminal's colours are.

use qrcode::{Color, EcLevel, QrCode};
use records::Secret;

/// Modules of bright margin on each side that a reader needs.
const MARGIN: usize = 4;
/// White on black (ECMA-48, 8.3.117), and back.
const BEGIN: &str = "\x1b[40;37;1m";
const END: &str = "\x1b[0m\n";

/// A picture of the text in lines. `None`: it is too long for one.
pub fn picture(text: &Secret) -> Option<Secret> {
    let code = QrCode::with_error_correction_level(text.open(), EcLevel::L).ok()?;
    let width = code.width();
    let mut modules = code.into_colors();
    let side = width + 2 * MARGIN;
    let is_bright = |column: usize, row: usize| {
        let inside = |place: usize| place.checked_sub(MARGIN).filter(|place| *place < width);
        match (inside(column), inside(row)) {
            (Some(column), Some(row)) => modules.get(row * width + column) == Some(&Color::Light),
            _ => row < side,
        }
    };
    // Made in its final size: a text that grows moves, and what it leaves behind is not wiped.
    let mut lines =
        String::with_capacity(side.div_ceil(2) * (side * '█'.len_utf8() + BEGIN.len() + END.len()));
    for row in (0..side).step_by(2) {
        lines.push_str(BEGIN);
        lines.extend((0..side).map(|column| match (is_bright(column, row), is_bright(column, row + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        lines.push_str(END);
    }
    modules.fill(Color::Light);
    Some(Secret::from_text(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text in a picture, as a reader finds it.
    fn read(picture: &str) -> String {
        let lines: Vec<Vec<char>> = picture
            .lines()
            .map(|line| line.trim_start_matches(BEGIN).trim_end_matches("\x1b[0m").chars().collect())
            .collect();
        let (width, height) = (lines[0].len(), 2 * lines.len());
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(4 * width, 4 * height, |x, y| {
            let bright = match lines[y / 8][x / 4] {
                '█' => true,
                '▀' => y / 4 % 2 == 0,
                '▄' => y / 4 % 2 == 1,
                _ => false,
            };
            if bright { 255 } else { 0 }
        });
        image.detect_grids()[0].decode().expect("readable").1
    }

    #[test]
    fn a_reader_finds_the_recovery_key() {
        for byte in [0, 7, 255] {
            let key = records::recovery::encode(&[byte; 32]);
            let picture = picture(&key).expect("short enough");
            assert_eq!(read(picture.open_text().expect("text")), key.open_text().expect("text"));
        }
    }

    #[test]
    fn a_text_that_is_too_long_has_none() {
        assert!(picture(&Secret::new(vec![b'x'; 5000])).is_none());
    }
}
