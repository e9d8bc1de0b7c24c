//! What is asked of an open device.

use super::device::{Library, text};
use super::symbols::Object;
use crate::Failure;
use crate::key::{Abilities, Algorithm, Option3, Owner, Question, RELYING_PARTY, RELYING_PARTY_NAME, SALT};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use records::Secret;
use std::ffi::{CString, c_char, c_int};
use zeroize::Zeroize;

/// `FIDO_EXT_HMAC_SECRET` of fido/param.h.
const HMAC_SECRET: c_int = 1;
/// In the place of a hash of the client's data, of which there are none.
const NO_CLIENT_DATA: [u8; 32] = [0; 32];

/// One of the library's objects with a function that frees it.
struct Owned {
    object: Object,
    free: Free,
}

// SAFETY: of a type: whoever calls has an object that the function's own kind has made.
type Free = unsafe extern "C" fn(*mut Object);

impl Owned {
    fn new(object: Object, free: Free) -> Result<Self, Failure> {
        if object.is_null() {
            Err(Failure::Broken("there is no memory".into()))
        } else {
            Ok(Self { object, free })
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: our own object and its own function, once. The library wipes what is in it.
        unsafe { (self.free)(&raw mut self.object) };
    }
}

/// A PIN that ends with NUL, wiped when it goes.
struct Pin(Option<Vec<u8>>);

impl Pin {
    fn new(pin: Option<&Secret>) -> Result<Self, Failure> {
        let Some(pin) = pin else { return Ok(Self(None)) };
        if pin.open().contains(&0) {
            return Err(Failure::BadPin(None));
        }
        // In its final size: a vector that grows leaves what it held.
        let mut bytes = Vec::with_capacity(pin.open().len() + 1);
        bytes.extend_from_slice(pin.open());
        bytes.push(0);
        Ok(Self(Some(bytes)))
    }

    fn pointer(&self) -> *const c_char {
        self.0.as_ref().map_or(std::ptr::null(), |bytes| bytes.as_ptr().cast())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

fn option(option: Option3) -> c_int {
    // fido_opt_t.
    match option {
        Option3::Unsaid => 0,
        Option3::No => 1,
        Option3::Yes => 2,
    }
}

fn words(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure::Broken("a name has a NUL in it".into()))
}

/// What the device says of itself.
pub fn abilities(library: &Library, device: Object) -> Result<Abilities, Failure> {
    let calls = &library.calls;
    // SAFETY: takes nothing.
    let info = Owned::new(unsafe { (calls.fido_cbor_info_new)() }, calls.fido_cbor_info_free)?;
    // SAFETY: an open device, and a new object to fill.
    library.ok(unsafe { (calls.fido_dev_get_cbor_info)(device, info.object) })?;
    // SAFETY: a filled object; lists and their lengths belong together, and live as long as it.
    let (extensions, names, values) = unsafe {
        let options = (calls.fido_cbor_info_options_len)(info.object);
        (
            texts(
                (calls.fido_cbor_info_extensions_ptr)(info.object),
                (calls.fido_cbor_info_extensions_len)(info.object),
            ),
            texts((calls.fido_cbor_info_options_name_ptr)(info.object), options),
            flags((calls.fido_cbor_info_options_value_ptr)(info.object), options),
        )
    };
    let value =
        |name: &str| names.iter().position(|known| known == name).and_then(|at| values.get(at).copied());
    Ok(Abilities {
        hmac_secret: extensions.iter().any(|name| name == "hmac-secret"),
        pin: value("clientPin") == Some(true),
        verification: value("uv") == Some(true),
        presence: value("up") != Some(false),
    })
}

/// # Safety
/// `list` is null, or has `length` texts that end with NUL.
unsafe fn texts(list: *mut *mut c_char, length: usize) -> Vec<String> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: as whoever calls has promised.
    (0..length).filter_map(|at| text(unsafe { *list.add(at) })).collect()
}

/// # Safety
/// `list` is null, or has `length` values.
unsafe fn flags(list: *const bool, length: usize) -> Vec<bool> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: as whoever calls has promised.
    unsafe { std::slice::from_raw_parts(list, length) }.to_vec()
}

/// One assertion.
pub fn ask(
    library: &Library,
    device: Object,
    question: &Question<'_>,
    done: impl Fn(c_int) -> Result<(), Failure>,
) -> Result<Option<Secret>, Failure> {
    let calls = &library.calls;
    // SAFETY: takes nothing.
    let assertion = Owned::new(unsafe { (calls.fido_assert_new)() }, calls.fido_assert_free)?;
    let (object, party) = (assertion.object, words(RELYING_PARTY)?);
    let (id, hash) = (question.credential, &NO_CLIENT_DATA);
    // SAFETY: an assertion of ours; the library copies texts and bytes, whose lengths are their own.
    unsafe {
        library.ok((calls.fido_assert_set_rp)(object, party.as_ptr()))?;
        library.ok((calls.fido_assert_set_clientdata_hash)(object, hash.as_ptr(), hash.len()))?;
        library.ok((calls.fido_assert_allow_cred)(object, id.as_ptr(), id.len()))?;
        library.ok((calls.fido_assert_set_up)(object, option(question.presence)))?;
        library.ok((calls.fido_assert_set_uv)(object, option(question.verification)))?;
    }
    if let Some(salt) = question.salt {
        // SAFETY: the same.
        unsafe {
            library.ok((calls.fido_assert_set_extensions)(object, HMAC_SECRET))?;
            library.ok((calls.fido_assert_set_hmac_salt)(object, salt.as_ptr(), salt.len()))?;
        }
    }
    let pin = Pin::new(question.pin)?;
    // SAFETY: an open device, an assertion of ours, a PIN that is null or ends with NUL.
    done(unsafe { (calls.fido_dev_get_assert)(device, object, pin.pointer()) })?;
    if question.salt.is_none() {
        return Ok(None);
    }
    // SAFETY: an assertion that was answered.
    let (count, start, length) = unsafe {
        let count = (calls.fido_assert_count)(object);
        (
            count,
            (calls.fido_assert_hmac_secret_ptr)(object, 0),
            (calls.fido_assert_hmac_secret_len)(object, 0),
        )
    };
    if count == 0 || start.is_null() || length != SALT {
        return Err(Failure::Broken(format!("it has answered {length} bytes in {count} assertions")));
    }
    // SAFETY: not null, and as long as the library says, as long as the assertion lives; it wipes them after that.
    Ok(Some(passphrase(unsafe { std::slice::from_raw_parts(start, length) })))
}

/// The base64 text of what a key has answered.
fn passphrase(answer: &[u8]) -> Secret {
    let mut text = vec![0; answer.len().div_ceil(3) * 4];
    // It fits: base64 makes four letters of three bytes.
    let written = STANDARD.encode_slice(answer, &mut text).unwrap_or(0);
    text.truncate(written);
    Secret::new(text)
}

/// What a new credential is made of.
pub struct Wanted<'a> {
    /// Whose it is.
    pub owner: &'a Owner<'a>,
    /// What it signs by.
    pub algorithm: Algorithm,
    /// The key's PIN, where it has one.
    pub pin: Option<&'a Secret>,
}

/// A new credential.
pub fn make(
    library: &Library,
    device: Object,
    wanted: Wanted<'_>,
    done: impl Fn(c_int) -> Result<(), Failure>,
) -> Result<Vec<u8>, Failure> {
    let (calls, Wanted { owner, algorithm, pin }) = (&library.calls, wanted);
    // SAFETY: takes nothing.
    let credential = Owned::new(unsafe { (calls.fido_cred_new)() }, calls.fido_cred_free)?;
    let object = credential.object;
    let (party, party_name) = (words(RELYING_PARTY)?, words(RELYING_PARTY_NAME)?);
    let (id, name, shown) = (owner.id.as_bytes(), words(owner.id)?, words(owner.name)?);
    let hash = &NO_CLIENT_DATA;
    // SAFETY: a credential of ours; the library copies texts and bytes, whose lengths are their own.
    unsafe {
        library.ok((calls.fido_cred_set_type)(object, algorithm.number()))?;
        library.ok((calls.fido_cred_set_clientdata_hash)(object, hash.as_ptr(), hash.len()))?;
        library.ok((calls.fido_cred_set_rp)(object, party.as_ptr(), party_name.as_ptr()))?;
        let (icon, name, shown) = (std::ptr::null(), name.as_ptr(), shown.as_ptr());
        library.ok((calls.fido_cred_set_user)(object, id.as_ptr(), id.len(), name, shown, icon))?;
        library.ok((calls.fido_cred_set_extensions)(object, HMAC_SECRET))?;
        library.ok((calls.fido_cred_set_rk)(object, option(Option3::No)))?;
    }
    let pin = Pin::new(pin)?;
    // SAFETY: an open device, a credential of ours, a PIN that is null or ends with NUL.
    done(unsafe { (calls.fido_dev_make_cred)(device, object, pin.pointer()) })?;
    // SAFETY: a credential that was made.
    let (start, length) = unsafe { ((calls.fido_cred_id_ptr)(object), (calls.fido_cred_id_len)(object)) };
    if start.is_null() || length == 0 {
        return Err(Failure::Broken("it gave a credential without an id".into()));
    }
    // SAFETY: not null, and as long as the library says, as long as the credential lives.
    Ok(unsafe { std::slice::from_raw_parts(start, length) }.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passphrase_is_the_originals() {
        let text = passphrase(&[0xff; 32]);
        assert_eq!(text.open(), b"//////////////////////////////////////////8=");
    }
}
