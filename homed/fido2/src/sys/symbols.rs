//! The functions of libfido2 (fido.h of its version 1.5, Debian has newer ones), looked up by their names.

use crate::Failure;
use std::ffi::{CStr, c_char, c_int, c_void};

/// One of the library's objects: only ever a pointer that it has given.
pub type Object = *mut c_void;

/// The library's ABI since its first release.
const NAME: &CStr = c"libfido2.so.1";

macro_rules! symbols {
    ($table:ident: $( $name:ident($($argument:ty),*) $(-> $result:ty)?; )*) => {
        /// Functions of the library.
        pub struct $table {
            // SAFETY: of types: whoever calls has objects that the library gave, and buffers as long as is said.
            $( pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?, )*
        }

        impl $table {
            /// Loads the library, for as long as the process lives.
            pub fn load() -> Result<Self, crate::Failure> {
                let library = $crate::sys::symbols::library()?;
                Ok(Self { $( $name: {
                    let found = $crate::sys::symbols::symbol(library, concat!(stringify!($name), "\0"))?;
                    // SAFETY: the library's function of that name has this type, by its header.
                    unsafe { std::mem::transmute::<*mut std::ffi::c_void, unsafe extern "C" fn($($argument),*) $(-> $result)?>(found) }
                }, )* })
            }
        }
    };
}

#[cfg(feature = "test-keys")]
pub(super) use symbols;

symbols! {
    Symbols:
    fido_init(c_int);
    fido_strerr(c_int) -> *const c_char;
    fido_dev_info_new(usize) -> Object;
    fido_dev_info_free(*mut Object, usize);
    fido_dev_info_manifest(Object, usize, *mut usize) -> c_int;
    fido_dev_info_ptr(Object, usize) -> Object;
    fido_dev_info_path(Object) -> *const c_char;
    fido_dev_info_manufacturer_string(Object) -> *const c_char;
    fido_dev_info_product_string(Object) -> *const c_char;
    fido_dev_new() -> Object;
    fido_dev_free(*mut Object);
    fido_dev_open(Object, *const c_char) -> c_int;
    fido_dev_close(Object) -> c_int;
    fido_dev_cancel(Object) -> c_int;
    fido_dev_is_fido2(Object) -> bool;
    fido_dev_set_timeout(Object, c_int) -> c_int;
    fido_dev_get_retry_count(Object, *mut c_int) -> c_int;
    fido_dev_get_cbor_info(Object, Object) -> c_int;
    fido_dev_get_assert(Object, Object, *const c_char) -> c_int;
    fido_dev_make_cred(Object, Object, *const c_char) -> c_int;
    fido_cbor_info_new() -> Object;
    fido_cbor_info_free(*mut Object);
    fido_cbor_info_extensions_ptr(Object) -> *mut *mut c_char;
    fido_cbor_info_extensions_len(Object) -> usize;
    fido_cbor_info_options_name_ptr(Object) -> *mut *mut c_char;
    fido_cbor_info_options_value_ptr(Object) -> *const bool;
    fido_cbor_info_options_len(Object) -> usize;
    fido_cred_new() -> Object;
    fido_cred_free(*mut Object);
    fido_cred_set_type(Object, c_int) -> c_int;
    fido_cred_set_clientdata_hash(Object, *const u8, usize) -> c_int;
    fido_cred_set_rp(Object, *const c_char, *const c_char) -> c_int;
    fido_cred_set_user(Object, *const u8, usize, *const c_char, *const c_char, *const c_char) -> c_int;
    fido_cred_set_extensions(Object, c_int) -> c_int;
    fido_cred_set_rk(Object, c_int) -> c_int;
    fido_cred_id_ptr(Object) -> *const u8;
    fido_cred_id_len(Object) -> usize;
    fido_assert_new() -> Object;
    fido_assert_free(*mut Object);
    fido_assert_set_extensions(Object, c_int) -> c_int;
    fido_assert_set_hmac_salt(Object, *const u8, usize) -> c_int;
    fido_assert_set_rp(Object, *const c_char) -> c_int;
    fido_assert_set_clientdata_hash(Object, *const u8, usize) -> c_int;
    fido_assert_allow_cred(Object, *const u8, usize) -> c_int;
    fido_assert_set_up(Object, c_int) -> c_int;
    fido_assert_set_uv(Object, c_int) -> c_int;
    fido_assert_count(Object) -> usize;
    fido_assert_hmac_secret_ptr(Object, usize) -> *const u8;
    fido_assert_hmac_secret_len(Object, usize) -> usize;
}

/// Loads the library.
pub fn library() -> Result<*mut c_void, Failure> {
    // SAFETY: a constant name; the library has no code that runs on loading but that of its dependencies.
    let library = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() { Err(Failure::NoLibrary(last_error())) } else { Ok(library) }
}

/// A function of it.
pub fn symbol(library: *mut c_void, name: &'static str) -> Result<*mut c_void, Failure> {
    // SAFETY: an open library, and a name that ends with NUL.
    let found = unsafe { libc::dlsym(library, name.as_ptr().cast()) };
    if found.is_null() {
        return Err(Failure::NoLibrary(format!("it lacks {}", name.trim_end_matches('\0'))));
    }
    Ok(found)
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
