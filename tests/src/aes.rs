//! Everything by which an AES-XTS key can be told in memory: the key, its halves, and every round key of each
//! half of 32 bytes, for encryption and for the equivalent inverse cipher (FIPS 197, sections 5.2 and 5.3.5).

/// What to look for, each with its name.
pub fn traces(key: &[u8]) -> Vec<(String, Vec<u8>)> {
    let hexadecimal: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut traces =
        vec![("the whole key".to_owned(), key.to_vec()), ("its text".to_owned(), hexadecimal.into())];
    let (first, second) = key.split_at(key.len() / 2);
    for (name, half) in [("first", first), ("second", second)] {
        traces.push((format!("the {name} half"), half.to_vec()));
        if half.len() != 32 {
            continue;
        }
        for (number, round) in round_keys(half).into_iter().enumerate().skip(2) {
            traces.push((format!("round key {number} of the {name} half"), round.to_vec()));
            traces.push((format!("inverse round key {number} of the {name} half"), inverse(round).to_vec()));
        }
    }
    traces
}

/// The key schedule: 15 round keys of 16 bytes, the first two of which are the key.
fn round_keys(key: &[u8]) -> Vec<[u8; 16]> {
    let sbox = substitution();
    let mut words: Vec<[u8; 4]> =
        key.chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]]).collect();
    let mut constant = 1;
    for index in words.len()..60 {
        let mut word = words[index - 1];
        if index % 8 == 0 {
            word.rotate_left(1);
            word = word.map(|byte| sbox[usize::from(byte)]);
            word[0] ^= constant;
            constant = double(constant);
        } else if index % 8 == 4 {
            word = word.map(|byte| sbox[usize::from(byte)]);
        }
        let before = words[index - 8];
        words.push(std::array::from_fn(|i| before[i] ^ word[i]));
    }
    words.chunks_exact(4).map(|words| std::array::from_fn(|i| words[i / 4][i % 4])).collect()
}

/// InvMixColumns.
fn inverse(round: [u8; 16]) -> [u8; 16] {
    let factors = [14, 11, 13, 9];
    std::array::from_fn(|at| {
        let (column, row) = (at / 4 * 4, at % 4);
        (0..4).map(|i| product(round[column + i], factors[(i + 4 - row) % 4])).fold(0, |sum, part| sum ^ part)
    })
}

fn substitution() -> [u8; 256] {
    std::array::from_fn(|value| {
        let value = u8::try_from(value).unwrap_or_default();
        let inverse = (0..=255).find(|other| product(value, *other) == 1).unwrap_or(0);
        (0..5).map(|shift| inverse.rotate_left(shift)).fold(0x63, |sum, part| sum ^ part)
    })
}

fn double(value: u8) -> u8 {
    (value << 1) ^ if value & 0x80 == 0 { 0 } else { 0x1b }
}

/// Multiplication in AES's field.
fn product(mut one: u8, mut other: u8) -> u8 {
    let mut sum = 0;
    while other > 0 {
        if other & 1 == 1 {
            sum ^= one;
        }
        one = double(one);
        other >>= 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_that_of_the_standard() {
        // FIPS 197, appendix A.3.
        let key = [
            0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77, 0x81,
            0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4,
        ];
        let rounds = round_keys(&key);
        assert_eq!(rounds.len(), 15);
        assert_eq!(rounds[2][..4], [0x9b, 0xa3, 0x54, 0x11]);
        assert_eq!(rounds[14][12..], [0x70, 0x6c, 0x63, 0x1e]);
    }

    #[test]
    fn inverse_columns_are_those_of_the_standard() {
        // FIPS 197, section 4.2.1: MixColumns of d4 bf 5d 30 is 04 66 81 e5.
        let mut mixed = [0; 16];
        mixed[..4].copy_from_slice(&[0x04, 0x66, 0x81, 0xe5]);
        assert_eq!(inverse(mixed)[..4], [0xd4, 0xbf, 0x5d, 0x30]);
    }
}
