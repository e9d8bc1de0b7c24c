//! Keys made from other keys.

use crate::job::{Context, Failure};
use openssl::md::Md;
use openssl::pkey::Id;
use openssl::pkey_ctx::PkeyCtx;
use records::Secret;

/// HKDF with SHA-512 (RFC 5869): as many bytes as asked for, which tell nothing of the key. `purpose` keeps keys for
/// different things apart.
pub fn hkdf(key: &Secret, salt: &[u8], purpose: &str, bytes: usize) -> Result<Secret, Failure> {
    let mut derived = vec![0; bytes];
    let mut derive = || {
        let mut context = PkeyCtx::new_id(Id::HKDF)?;
        context.derive_init()?;
        context.set_hkdf_md(Md::sha512())?;
        context.set_hkdf_key(key.open())?;
        context.set_hkdf_salt(salt)?;
        context.add_hkdf_info(purpose.as_bytes())?;
        context.derive(Some(&mut derived))
    };
    let done = derive().during("deriving a key");
    let derived = Secret::new(derived);
    done.map(|_| derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purpose_and_salt_keep_keys_apart() {
        let key = Secret::new(vec![7; 64]);
        let derive = |salt: &[u8], purpose: &str| hkdf(&key, salt, purpose, 64).expect("derived");
        assert!(derive(b"s", "a").matches(derive(b"s", "a").open()));
        assert!(!derive(b"s", "a").matches(derive(b"t", "a").open()));
        assert!(!derive(b"s", "a").matches(derive(b"s", "b").open()));
    }

    #[test]
    fn it_is_the_function_of_the_standard() {
        // Made with another implementation: HKDF-SHA512, key 0b × 22, salt 00…0c, info "homed", 32 bytes.
        let salt: Vec<u8> = (0..=12).collect();
        let derived = hkdf(&Secret::new(vec![0x0b; 22]), &salt, "homed", 32).expect("derived");
        assert_eq!(derived.open(), VECTOR);
    }

    const VECTOR: [u8; 32] = [
        0x25, 0x46, 0xd3, 0x0a, 0xc7, 0xf7, 0x45, 0x17, 0x91, 0xfc, 0x12, 0x08, 0x2c, 0x7c, 0xc7, 0xf0, 0x06,
        0x4c, 0x3d, 0xdc, 0x09, 0xb7, 0x02, 0xeb, 0xec, 0xd1, 0x74, 0x35, 0xd6, 0xdd, 0x91, 0x0c,
    ];
}
