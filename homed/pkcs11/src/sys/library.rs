//! The library: its functions, and the tokens behind them.

use super::meaning::ok;
use super::session::Session;
use crate::Failure;
use crate::token::{Facts, Token};
use cryptoki_sys as ck;
use std::ffi::{CStr, c_void};

/// p11-kit's ABI since its first release: the proxy of all modules that this computer knows (`p11-kit-proxy.so` is a
/// link to it).
const NAME: &CStr = c"libp11-kit.so.0";
/// Most tokens that are looked at.
const MOST: usize = 64;

/// p11-kit, loaded and begun. It is ended when this goes.
pub struct Library {
    pub(super) calls: ck::CK_FUNCTION_LIST,
}

impl Library {
    /// Loads it, for as long as the process lives, and the modules that it knows.
    pub fn load() -> Result<Self, Failure> {
        // SAFETY: a constant name; the library has no code that runs on loading but that of its dependencies.
        let library = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(Failure::NoLibrary(last_error()));
        }
        // SAFETY: an open library, and a name that ends with NUL.
        let found = unsafe { libc::dlsym(library, c"C_GetFunctionList".as_ptr()) };
        if found.is_null() {
            return Err(Failure::NoLibrary("it lacks C_GetFunctionList".into()));
        }
        // SAFETY: the library's function of that name has this type, by PKCS#11.
        let get = unsafe { std::mem::transmute::<*mut c_void, GetFunctionList>(found) };
        let mut list: *mut ck::CK_FUNCTION_LIST = std::ptr::null_mut();
        // SAFETY: a place for one pointer.
        begun(unsafe { get(&raw mut list) }, "C_GetFunctionList")?;
        if list.is_null() {
            return Err(Failure::NoLibrary("it has no functions".into()));
        }
        // SAFETY: the library gave a list of functions, which lives as long as the library: for ever. It is copied.
        let calls = unsafe { list.read_unaligned() };
        let mut settings = ck::CK_C_INITIALIZE_ARGS {
            CreateMutex: None,
            DestroyMutex: None,
            LockMutex: None,
            UnlockMutex: None,
            flags: ck::CKF_OS_LOCKING_OK,
            pReserved: std::ptr::null_mut(),
        };
        let initialize = present(calls.C_Initialize)?;
        // SAFETY: settings that live for the call, without functions of ours.
        begun(unsafe { initialize((&raw mut settings).cast()) }, "C_Initialize")?;
        Ok(Self { calls })
    }

    /// What is plugged in and has been set up. One that cannot be opened is none that could answer.
    pub fn tokens(&self) -> Result<Vec<Box<dyn Token + '_>>, Failure> {
        let mut slots = [0; MOST];
        // As many as there are places.
        let mut count = slots.len() as ck::CK_ULONG;
        let list = present(self.calls.C_GetSlotList)?;
        // SAFETY: as many places as are said.
        ok(unsafe { list(ck::CK_TRUE, slots.as_mut_ptr(), &raw mut count) }, "C_GetSlotList")?;
        let count = usize::try_from(count).unwrap_or(0).min(MOST);
        let of = |slot: &ck::CK_SLOT_ID| -> Option<Box<dyn Token + '_>> {
            let info = self.info(*slot).ok()?;
            let set_up = info.flags & ck::CKF_TOKEN_INITIALIZED != 0;
            let facts = self.facts(*slot, &info);
            let session = set_up.then(|| Session::open(self, *slot, facts))?;
            Some(Box::new(session.ok()?))
        };
        Ok(slots[..count].iter().filter_map(of).collect())
    }

    pub(super) fn info(&self, slot: ck::CK_SLOT_ID) -> Result<ck::CK_TOKEN_INFO, Failure> {
        let mut info = ck::CK_TOKEN_INFO::default();
        let get = present(self.calls.C_GetTokenInfo)?;
        // SAFETY: a struct of the type that is filled.
        ok(unsafe { get(slot, &raw mut info) }, "C_GetTokenInfo")?;
        Ok(info)
    }

    fn facts(&self, slot: ck::CK_SLOT_ID, info: &ck::CK_TOKEN_INFO) -> Facts {
        // SAFETY: numbers and arrays of them: all zero is a value.
        let mut place: ck::CK_SLOT_INFO = unsafe { std::mem::zeroed() };
        if let Some(get) = self.calls.C_GetSlotInfo {
            // SAFETY: a struct of the type that is filled. Where it is not, it stays empty.
            unsafe { get(slot, &raw mut place) };
        }
        Facts {
            label: text(&info.label),
            manufacturer: text(&info.manufacturerID),
            model: text(&info.model),
            serial: text(&info.serialNumber),
            slot: text(&place.slotDescription),
            slot_manufacturer: text(&place.manufacturerID),
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if let Some(finalize) = self.calls.C_Finalize {
            // SAFETY: begun by us; sessions borrow the library, so none is left. The argument has to be null.
            unsafe { finalize(std::ptr::null_mut()) };
        }
    }
}

// SAFETY: of a type: whoever calls has a place for one pointer.
type GetFunctionList = unsafe extern "C" fn(*mut *mut ck::CK_FUNCTION_LIST) -> ck::CK_RV;

/// A function that a list should have.
pub fn present<F>(function: Option<F>) -> Result<F, Failure> {
    function.ok_or_else(|| Failure::Broken("its module lacks a function of PKCS#11".into()))
}

fn begun(code: ck::CK_RV, function: &str) -> Result<(), Failure> {
    match code {
        ck::CKR_OK => Ok(()),
        _ => Err(Failure::NoLibrary(format!("{function} ended with {code:#x}"))),
    }
}

/// A text of fixed length, filled up with blanks.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches([' ', '\0']).to_owned()
}

fn last_error() -> String {
    // SAFETY: takes nothing.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "no reason given".into();
    }
    // SAFETY: not null, so a text of the loader's that ends with NUL, good until the next call.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_before_the_blanks() {
        assert_eq!(text(b"My Card  \0  "), "My Card");
        assert_eq!(text(b"      "), "");
    }
}
