//! libxkbcommon (xkbcommon.h of its version 1.0), loaded when somebody changes the layout: which letters the keys of a layout make.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::null;

/// The library's ABI since its first release.
const NAME: &CStr = c"libxkbcommon.so.0";
/// Keys of XKB are the kernel's, moved by so many.
const MOVED: u32 = 8;
/// By itself, with Shift, with AltGr, with both.
pub const LEVELS: u8 = 4;

/// `xkb_rule_names`.
#[repr(C)]
struct Names {
    rules: *const c_char,
    model: *const c_char,
    layout: *const c_char,
    variant: *const c_char,
    options: *const c_char,
}

/// What a key makes at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The kernel's number of the key.
    pub key: u8,
    /// The level, below [`LEVELS`].
    pub level: u8,
    /// Its keysym (xkbcommon-keysyms.h).
    pub keysym: u32,
    /// The letter that the keysym is, if it is one.
    pub letter: Option<char>,
}

// SAFETY: of types, by the header: objects that the library gave, and places for what is said.
type NewContext = unsafe extern "C" fn(c_int) -> *mut c_void;
// SAFETY: as above.
type NewKeymap = unsafe extern "C" fn(*mut c_void, *const Names, c_int) -> *mut c_void;
// SAFETY: as above.
type Syms = unsafe extern "C" fn(*mut c_void, u32, u32, u32, *mut *const u32) -> c_int;
// SAFETY: as above.
type Letter = unsafe extern "C" fn(u32) -> u32;
// SAFETY: as above.
type Forget = unsafe extern "C" fn(*mut c_void);

/// What these keys of the layout make; why it cannot be told otherwise. The library stays.
pub fn letters(layout: &str, variant: &str, keys: &[u8]) -> Result<Vec<Made>, String> {
    // SAFETY: a constant name; the library has no code that runs on loading.
    let library = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        return Err("libxkbcommon is not installed".into());
    }
    let (layout_name, variant) = (text(layout)?, text(variant)?);
    let names = Names {
        rules: c"evdev".as_ptr(),
        model: c"pc105".as_ptr(),
        layout: layout_name.as_ptr(),
        variant: variant.as_ptr(),
        options: c"".as_ptr(),
    };
    // SAFETY: the library's functions of these names have these types, by its header; the objects are given back below, and the names
    // live until then.
    unsafe {
        let new_context: NewContext = std::mem::transmute(symbol(library, c"xkb_context_new")?);
        let new_keymap: NewKeymap = std::mem::transmute(symbol(library, c"xkb_keymap_new_from_names")?);
        let syms: Syms = std::mem::transmute(symbol(library, c"xkb_keymap_key_get_syms_by_level")?);
        let letter: Letter = std::mem::transmute(symbol(library, c"xkb_keysym_to_utf32")?);
        let forget_keymap: Forget = std::mem::transmute(symbol(library, c"xkb_keymap_unref")?);
        let forget_context: Forget = std::mem::transmute(symbol(library, c"xkb_context_unref")?);
        let context = new_context(0);
        if context.is_null() {
            return Err("libxkbcommon finds no layouts".into());
        }
        let keymap = new_keymap(context, &names, 0);
        let made = if keymap.is_null() {
            None
        } else {
            Some(all(keys, |key, level| one(keymap, syms, letter, key, level)))
        };
        if !keymap.is_null() {
            forget_keymap(keymap);
        }
        forget_context(context);
        made.ok_or_else(|| "there is no such layout".into())
    }
}

fn all(keys: &[u8], one: impl Fn(u8, u8) -> Option<(u32, Option<char>)>) -> Vec<Made> {
    let places = keys.iter().flat_map(|key| (0..LEVELS).map(|level| (*key, level)));
    places
        .filter_map(|(key, level)| {
            one(key, level).map(|(keysym, letter)| Made { key, level, keysym, letter })
        })
        .collect()
}

/// # Safety
/// The keymap is one of the library's, and the functions are those of the library.
unsafe fn one(
    keymap: *mut c_void,
    syms: Syms,
    letter: Letter,
    key: u8,
    level: u8,
) -> Option<(u32, Option<char>)> {
    let mut list: *const u32 = null();
    // SAFETY: as is said above; a level that the key has not gives none.
    let count = unsafe { syms(keymap, u32::from(key) + MOVED, 0, u32::from(level), &mut list) };
    if count != 1 || list.is_null() {
        return None;
    }
    // SAFETY: the library has given an array of one, which lives as long as the keymap.
    let keysym = unsafe { *list };
    // SAFETY: takes a number.
    let number = unsafe { letter(keysym) };
    Some((keysym, char::from_u32(number).filter(|letter| !letter.is_control())))
}

fn text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| "its name is none".to_owned())
}

fn symbol(library: *mut c_void, name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: an open library and a name that ends with NUL.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    if found.is_null() { Err(format!("libxkbcommon lacks {}", name.to_string_lossy())) } else { Ok(found) }
}
