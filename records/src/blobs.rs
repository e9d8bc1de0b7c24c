//! Blobs: small files beside the record, such as the user's picture.

/// Largest sum of all blobs of a user, in bytes.
pub const MAX_TOTAL: u64 = 64 << 20;

/// Whether a text may name a blob: URI-unreserved ASCII, no leading dot, at most 255 bytes.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "a".repeat(256);
        for name in ["avatar", "login-background", "a.b_c~9", &long[1..]] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".x", "..", "a/b", "a b", "ä", "a\0", &long] {
            assert!(!is_name(name), "{name}");
        }
    }
}
