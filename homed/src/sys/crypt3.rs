//! crypt(3): password hashes, all methods the distribution's libcrypt knows.

use records::Secret;
use std::ffi::{CStr, CString, c_char, c_int, c_ulong, c_void};
use std::io;
use zeroize::Zeroize;

// SAFETY: names and types are those of crypt.h; integers are as wide there.
#[link(name = "crypt")]
unsafe extern "C" {
    fn crypt_ra(
        phrase: *const c_char,
        setting: *const c_char,
        data: *mut *mut c_void,
        size: *mut c_int,
    ) -> *mut c_char;
    fn crypt_gensalt_ra(
        prefix: *const c_char,
        count: c_ulong,
        random: *const c_char,
        length: c_int,
    ) -> *mut c_char;
}

/// Hashes a password with the method libcrypt prefers (yescrypt on Debian) and a fresh salt.
pub fn hash(password: &Secret) -> io::Result<String> {
    // SAFETY: all arguments may be null or 0: preferred method, default cost, randomness of the system.
    let setting = unsafe { crypt_gensalt_ra(std::ptr::null(), 0, std::ptr::null(), 0) };
    if setting.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: not null, so it is a NUL-terminated string that we own.
    let text = unsafe { CStr::from_ptr(setting) }.to_owned();
    // SAFETY: allocated by malloc in the library and not used any more.
    unsafe { libc::free(setting.cast()) };
    crypt(password, &text)
}

/// Whether a password is the one that was hashed. Unknown methods and broken hashes match nothing.
pub fn matches(password: &Secret, hashed: &str) -> bool {
    let Ok(setting) = CString::new(hashed) else { return false };
    match crypt(password, &setting) {
        Ok(again) => Secret::from_text(again).matches(hashed.as_bytes()),
        Err(_) => false,
    }
}

fn crypt(password: &Secret, setting: &CStr) -> io::Result<String> {
    if password.open().contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // Made in its final size: a vector that grows moves, and what it leaves behind is not wiped.
    let mut phrase = Vec::with_capacity(password.open().len() + 1);
    phrase.extend_from_slice(password.open());
    phrase.push(0);
    let mut data: *mut c_void = std::ptr::null_mut();
    let mut size: c_int = 0;
    // SAFETY: phrase ends in NUL, setting is a C string, data and size are ours and start out empty.
    let result = unsafe { crypt_ra(phrase.as_ptr().cast(), setting.as_ptr(), &mut data, &mut size) };
    let failed = io::Error::last_os_error();
    phrase.zeroize();
    let text = if result.is_null() {
        None
    } else {
        // SAFETY: not null, so it points to a NUL-terminated string inside `data`.
        Some(unsafe { CStr::from_ptr(result) }.to_string_lossy().into_owned())
    };
    if !data.is_null() {
        let length = usize::try_from(size).unwrap_or(0);
        // SAFETY: `data` has `size` bytes by the function's contract; it holds traces of the password.
        unsafe { std::slice::from_raw_parts_mut(data.cast::<u8>(), length) }.zeroize();
        // SAFETY: allocated by malloc in the library and not used any more.
        unsafe { libc::free(data) };
    }
    // A result that begins with '*' is libcrypt's way to say no.
    text.filter(|t| !t.starts_with('*')).ok_or(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_password_only() {
        let password = Secret::from_text("correct horse".into());
        let hashed = hash(&password).expect("libcrypt hashes");
        assert!(hashed.starts_with('$'));
        assert!(matches(&password, &hashed));
        assert!(!matches(&Secret::from_text("wrong".into()), &hashed));
    }

    #[test]
    fn hashes_of_other_tools_match() {
        // openssl passwd -6 -salt abcdefgh secret
        let hashed = concat!(
            "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/",
            "cZ/1GM/O6IND4WQhG."
        );
        assert!(matches(&Secret::from_text("secret".into()), hashed));
        assert!(!matches(&Secret::from_text("another".into()), hashed));
        assert!(!matches(&Secret::from_text("x".into()), "*0"));
        assert!(!matches(&Secret::from_text("x".into()), ""));
        assert!(!matches(&Secret::from_text("x".into()), "!$6$abc"));
    }

    #[test]
    fn a_password_with_a_nul_matches_nothing() {
        let hashed = hash(&Secret::from_text("a".into())).expect("libcrypt hashes");
        assert!(!matches(&Secret::new(b"a\0b".to_vec()), &hashed));
    }
}
