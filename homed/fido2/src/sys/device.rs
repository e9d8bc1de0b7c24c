//! Security keys that are plugged in.

use super::symbols::{Object, Symbols};
use crate::Failure;
use crate::failure::meaning;
use crate::key::{Abilities, Algorithm, Key, Owner, Question};
use records::Secret;
use std::ffi::{CStr, CString, c_char, c_int};

/// Most devices that are looked at.
const MOST: usize = 64;
/// How long a key is waited for, its user included, in milliseconds. Keys themselves give up after 15 to 30 s.
const PATIENCE: c_int = 30_000;

/// libfido2, loaded.
pub struct Library {
    pub(super) calls: Symbols,
}

/// A device, by its path and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `/dev/hidrawN`.
    pub path: String,
    /// Maker and product, as it says.
    pub name: String,
}

impl Library {
    /// Loads it.
    pub fn load() -> Result<Self, Failure> {
        let calls = Symbols::load()?;
        // SAFETY: 0 is no flag: nothing is written to standard error.
        unsafe { (calls.fido_init)(0) };
        Ok(Self { calls })
    }

    /// What is plugged in.
    pub fn list(&self) -> Result<Vec<Found>, Failure> {
        let calls = &self.calls;
        // SAFETY: a list of that many places, freed below by its own function and not used after.
        let mut list = unsafe { (calls.fido_dev_info_new)(MOST) };
        if list.is_null() {
            return Err(Failure::Broken("there is no memory".into()));
        }
        let mut count = 0;
        // SAFETY: the list has as many places as are said.
        let code = unsafe { (calls.fido_dev_info_manifest)(list, MOST, &raw mut count) };
        let found = (0..if code == 0 { count } else { 0 }).filter_map(|at| {
            // SAFETY: below the count, so a pointer into the list.
            let entry = unsafe { (calls.fido_dev_info_ptr)(list, at) };
            // SAFETY: an entry of the list that lives; its texts live as long.
            let texts = unsafe {
                [
                    (calls.fido_dev_info_path)(entry),
                    (calls.fido_dev_info_manufacturer_string)(entry),
                    (calls.fido_dev_info_product_string)(entry),
                ]
            };
            let [path, maker, product] = texts.map(text);
            let name = [maker, product].into_iter().flatten().collect::<Vec<_>>().join(" ");
            Some(Found { path: path?, name: tame(&name) })
        });
        let mut found: Vec<Found> = found.collect();
        // SAFETY: our own list with as many places.
        unsafe { (calls.fido_dev_info_free)(&raw mut list, MOST) };
        #[cfg(feature = "test-keys")]
        found.extend(super::socket::list());
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Opens a device; `Unsuitable` where it speaks no CTAP 2.
    pub fn open(&self, found: &Found) -> Result<Box<dyn Key + '_>, Failure> {
        let path = CString::new(found.path.as_str())
            .map_err(|_| Failure::Broken("its path has a NUL in it".into()))?;
        // SAFETY: takes nothing; the object is freed when it is dropped.
        let object = unsafe { (self.calls.fido_dev_new)() };
        let mut device = Device {
            library: self,
            object,
            open: false,
            abilities: Abilities::default(),
            name: found.name.clone(),
            path: found.path.clone(),
        };
        if object.is_null() {
            return Err(Failure::Broken("there is no memory".into()));
        }
        #[cfg(feature = "test-keys")]
        if super::socket::is_one(&found.path) {
            super::socket::hook(object);
        }
        // SAFETY: a new device, and a path that ends with NUL.
        self.ok(unsafe { (self.calls.fido_dev_open)(object, path.as_ptr()) })?;
        device.open = true;
        // SAFETY: an open device; a number.
        self.ok(unsafe { (self.calls.fido_dev_set_timeout)(object, PATIENCE) })?;
        // SAFETY: an open device.
        if !unsafe { (self.calls.fido_dev_is_fido2)(object) } {
            return Err(Failure::Unsuitable("it knows U2F only, and not FIDO2".into()));
        }
        device.abilities = super::exchange::abilities(self, object)?;
        Ok(Box::new(device))
    }

    pub(super) fn ok(&self, code: c_int) -> Result<(), Failure> {
        self.with_tries(code, || None)
    }

    fn with_tries(&self, code: c_int, tries: impl FnOnce() -> Option<u8>) -> Result<(), Failure> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: any number has a text, which is constant.
        let text = text(unsafe { (self.calls.fido_strerr)(code) }).unwrap_or_default();
        Err(meaning(code, &text, tries))
    }
}

/// An open device.
struct Device<'a> {
    library: &'a Library,
    object: Object,
    open: bool,
    abilities: Abilities,
    name: String,
    path: String,
}

impl Device<'_> {
    fn done(&self, code: c_int) -> Result<(), Failure> {
        let done = self.library.with_tries(code, || self.tries());
        if done == Err(Failure::Timeout) {
            // SAFETY: an open device; one that waits for its user no longer does.
            unsafe { (self.library.calls.fido_dev_cancel)(self.object) };
        }
        done
    }
}

impl Key for Device<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn abilities(&self) -> Abilities {
        self.abilities
    }

    fn ask(&self, question: &Question<'_>) -> Result<Option<Secret>, Failure> {
        super::exchange::ask(self.library, self.object, question, |code| self.done(code))
    }

    fn make(
        &self,
        owner: &Owner<'_>,
        algorithm: Algorithm,
        pin: Option<&Secret>,
    ) -> Result<Vec<u8>, Failure> {
        let wanted = super::exchange::Wanted { owner, algorithm, pin };
        super::exchange::make(self.library, self.object, wanted, |code| self.done(code))
    }

    fn tries(&self) -> Option<u8> {
        let mut left: c_int = 0;
        // SAFETY: an open device, and a place for the number.
        let code = unsafe { (self.library.calls.fido_dev_get_retry_count)(self.object, &raw mut left) };
        (code == 0).then(|| u8::try_from(left).ok()).flatten()
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        if self.open {
            // SAFETY: an open device, closed once.
            unsafe { (self.library.calls.fido_dev_close)(self.object) };
        }
        // SAFETY: our own object, or null; freed once.
        unsafe { (self.library.calls.fido_dev_free)(&raw mut self.object) };
    }
}

/// A text of the library's.
pub(super) fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, so a text that ends with NUL; whoever calls has the object that it belongs to.
    Some(unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

/// What a device calls itself is shown on terminals.
fn tame(name: &str) -> String {
    let tame: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
    if tame.trim().is_empty() { "security key".into() } else { tame.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_on_terminals() {
        assert_eq!(tame("Yubico \x1b[2JKey\n"), "Yubico [2JKey");
        assert_eq!(tame(" \x07 "), "security key");
        assert_eq!(tame(&"x".repeat(900)).len(), 64);
    }
}
