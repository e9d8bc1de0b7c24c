//! libcryptsetup: LUKS2 headers, key slots, tokens, and the key of a device that is suspended.
//!
//! Devices are made in `devmapper`, where nobody can be killed between making one and having it go with its user. The raw calls here do not take the mutex of the wrapper's
//! feature `mutex`: a worker calls the library from one thread.

mod stretching;

pub use stretching::{Argon2, Stretching};

use super::keyring;
use libcryptsetup_rs::consts::flags::CryptVolumeKey;
use libcryptsetup_rs::consts::vals::{
    CryptKdf, EncryptionFormat, KeyslotInfo, KeyslotPriority, KeyslotsSize, MetadataSize,
};
use libcryptsetup_rs::{CryptDevice, CryptInit, CryptParamsLuks2, Either, LibcryptErr, TokenInput};
use libcryptsetup_rs_sys as raw;
use records::Secret;
use serde_json::Value;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use stretching::pbkdf;
use uuid::Uuid;

/// Size of each of the two metadata areas, in bytes: the largest there is, so that a record with
/// certificates and keys fits (as the original formats).
const METADATA: u64 = 4 * 1024 * 1024;
/// Tokens a LUKS2 header has room for.
const TOKENS: u32 = 32;

/// What the library answered: its error number, and what it had to say.
#[derive(Debug)]
pub struct Error {
    errno: Option<i32>,
    text: String,
}

impl Error {
    /// The error number, where it was one.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// Whether a passphrase fits no key slot, or there is none that may be tried.
    pub fn is_no_match(&self) -> bool {
        matches!(self.errno, Some(libc::EPERM | libc::ENOENT))
    }

    /// Whether the header has no room for a token or a key slot.
    pub fn is_full(&self) -> bool {
        self.errno == Some(libc::ENOSPC)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

thread_local! {
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps what the library logs, for the text of the error that follows.
///
/// # Safety
/// `message` is null or a string that ends with NUL; the library calls it so.
unsafe extern "C" fn listen(_level: c_int, message: *const c_char, _user: *mut c_void) {
    if message.is_null() {
        return;
    }
    // SAFETY: not null, and the library passes NUL-terminated strings that live for the call.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    SAID.with_borrow_mut(|said| {
        if said.len() < 1024 {
            said.push_str(text.trim_end());
            said.push(' ');
        }
    });
}

fn explained(error: LibcryptErr) -> Error {
    let said = SAID.with_borrow_mut(std::mem::take);
    let errno = match &error {
        LibcryptErr::IOError(error) => error.raw_os_error(),
        _ => None,
    };
    let text = match errno {
        Some(code) => io::Error::from_raw_os_error(code).to_string(),
        None => error.to_string(),
    };
    let said = said.trim();
    Error { errno, text: if said.is_empty() { text } else { format!("{text} ({said})") } }
}

fn checked(code: c_int) -> Result<(), Error> {
    if code >= 0 {
        return Ok(());
    }
    Err(explained(LibcryptErr::IOError(io::Error::from_raw_os_error(-code))))
}

/// What a new LUKS2 header looks like.
#[derive(Debug)]
pub struct Layout<'a> {
    /// Cipher, such as `aes`.
    pub cipher: &'a str,
    /// Mode, such as `xts-plain64`.
    pub mode: &'a str,
    /// Header UUID.
    pub uuid: Uuid,
    /// Label.
    pub label: &'a str,
    /// Subsystem.
    pub subsystem: &'a str,
    /// Encryption sector size in bytes.
    pub sector: u32,
}

/// Which unlock attempts look at a key slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Only those that name it.
    Ignore,
    /// All.
    Normal,
    /// All, before the others.
    Prefer,
}

/// A LUKS2 device or a file with its header.
pub struct Luks(CryptDevice);

impl Luks {
    /// Opens a device or file to format it.
    pub fn blank(device: &Path) -> Result<Self, Error> {
        libcryptsetup_rs::set_log_callback::<()>(Some(listen), None);
        Self::with_keys_where_they_can_be(CryptInit::init(device).map_err(explained)?)
    }

    /// The library takes a keyring that is forbidden for one that is there.
    fn with_keys_where_they_can_be(mut device: CryptDevice) -> Result<Self, Error> {
        if !keyring::is_usable() {
            device.context_handle().volume_key_keyring(false).map_err(explained)?;
        }
        Ok(Self(device))
    }

    /// Reads the header; a damaged primary copy is replaced from the secondary one.
    pub fn load(device: &Path) -> Result<Self, Error> {
        let mut luks = Self::blank(device)?;
        luks.0.context_handle().load::<()>(Some(EncryptionFormat::Luks2), None).map_err(explained)?;
        Ok(luks)
    }

    /// The header below an active device, by its device-mapper name.
    pub fn of_active(name: &str) -> Result<Self, Error> {
        active(&c_string(name)?).map(|(luks, _)| luks)
    }

    /// Writes a new header with this volume key and no key slots.
    pub fn format(&mut self, layout: &Layout<'_>, volume_key: &Secret) -> Result<(), Error> {
        let sizes = (MetadataSize::try_from(METADATA), KeyslotsSize::try_from(0));
        let (metadata, keyslots) = (sizes.0.map_err(explained)?, sizes.1.map_err(explained)?);
        self.0.settings_handle().set_metadata_size(metadata, keyslots).map_err(explained)?;
        // The digest tells whether a volume key is the right one. The key is random: nobody guesses at it, and
        // half a second spent on measuring how costly a guess should be would protect nothing.
        let digest = Stretching::Pbkdf2 { iterations: Some(1000), hash: "sha512".into(), milliseconds: 0 };
        self.0.settings_handle().set_pbkdf_type(&pbkdf(&digest)).map_err(explained)?;
        let parameters = CryptParamsLuks2 {
            pbkdf: None,
            integrity: None,
            integrity_params: None,
            data_alignment: 0,
            data_device: None,
            sector_size: layout.sector,
            label: Some(layout.label.to_owned()),
            subsystem: Some(layout.subsystem.to_owned()),
        };
        let mut parameters: libcryptsetup_rs::CryptParamsLuks2Ref<'_> =
            (&parameters).try_into().map_err(explained)?;
        let format = self.0.context_handle().format(
            EncryptionFormat::Luks2,
            (layout.cipher, layout.mode),
            Some(layout.uuid),
            Either::Left(volume_key.open()),
            Some(&mut parameters),
        );
        format.map_err(explained)
    }

    /// Adds a key slot with this number for a passphrase.
    pub fn add_slot(
        &mut self,
        number: u32,
        volume_key: &Secret,
        passphrase: &Secret,
        stretching: &Stretching,
    ) -> Result<(), Error> {
        self.0.settings_handle().set_pbkdf_type(&pbkdf(stretching)).map_err(explained)?;
        let key = Some(Either::Left(volume_key.open()));
        let flags = CryptVolumeKey::empty();
        self.0
            .keyslot_handle()
            .add_by_key(Some(number), key, passphrase.open(), flags)
            .map(|_| ())
            .map_err(explained)
    }

    /// Destroys a key slot.
    pub fn destroy_slot(&mut self, slot: u32) -> Result<(), Error> {
        self.0.keyslot_handle().destroy(slot).map_err(explained)
    }

    /// The header's metadata (LUKS2 on-disk format 1.1.3, chapter 3): no secret is in it.
    pub fn metadata(&mut self) -> Result<Value, Error> {
        self.0.status_handle().dump_json().map_err(explained)
    }

    /// The slots in use, with the priority of each.
    pub fn slots(&mut self) -> Result<Vec<(u32, Priority)>, Error> {
        let most =
            libcryptsetup_rs::CryptKeyslotHandle::max_keyslots(EncryptionFormat::Luks2).map_err(explained)?;
        let mut used = Vec::new();
        for slot in 0..most {
            let status = self.0.keyslot_handle().status(slot).map_err(explained)?;
            if matches!(status, KeyslotInfo::Active | KeyslotInfo::ActiveLast) {
                used.push((slot, self.priority(slot)?));
            }
        }
        Ok(used)
    }

    fn priority(&mut self, slot: u32) -> Result<Priority, Error> {
        match self.0.keyslot_handle().get_priority(slot).map_err(explained)? {
            KeyslotPriority::Ignore => Ok(Priority::Ignore),
            KeyslotPriority::Prefer => Ok(Priority::Prefer),
            KeyslotPriority::Normal | KeyslotPriority::Invalid => Ok(Priority::Normal),
        }
    }

    /// Changes which attempts look at a slot.
    pub fn set_priority(&mut self, slot: u32, priority: Priority) -> Result<(), Error> {
        let priority = match priority {
            Priority::Ignore => KeyslotPriority::Ignore,
            Priority::Normal => KeyslotPriority::Normal,
            Priority::Prefer => KeyslotPriority::Prefer,
        };
        self.0.keyslot_handle().set_priority(slot, priority).map_err(explained)
    }

    /// How often a slot's PBKDF2 hashes; `None`: it derives its key with something else, which costs memory, too.
    pub fn slot_iterations(&mut self, slot: u32) -> Result<Option<u32>, Error> {
        let kdf = self.0.keyslot_handle().get_pbkdf(slot).map_err(explained)?;
        Ok((kdf.type_ == CryptKdf::Pbkdf2).then_some(kdf.iterations))
    }

    /// Opens a slot: the volume key.
    pub fn open_slot(&mut self, slot: u32, passphrase: &Secret) -> Result<Secret, Error> {
        let size = usize::try_from(self.0.status_handle().get_volume_key_size()).unwrap_or(0);
        let mut key = vec![0; size];
        let opened = self.0.volume_key_handle().get(Some(slot), &mut key, Some(passphrase.open()));
        let key = Secret::new(key);
        opened.map_err(explained).map(|_| key)
    }

    /// The tokens of a kind: number and JSON.
    pub fn tokens(&mut self, kind: &str) -> Vec<(u32, Value)> {
        let mut found = Vec::new();
        for number in 0..TOKENS {
            // A number without a token is an error to the library; one it cannot read is not ours.
            if let Ok(json) = self.0.token_handle().json_get(number)
                && json.get("type").and_then(Value::as_str) == Some(kind)
            {
                found.push((number, json));
            }
        }
        SAID.with_borrow_mut(String::clear);
        found
    }

    /// Writes a token: in the place of another, or in the first free place.
    pub fn set_token(&mut self, place: Option<u32>, json: &Value) -> Result<(), Error> {
        let input = match place {
            Some(number) => TokenInput::ReplaceToken(number, json),
            None => TokenInput::AddToken(json),
        };
        self.0.token_handle().json_set(input).map(|_| ()).map_err(explained)
    }

    /// Removes a token.
    pub fn remove_token(&mut self, number: u32) -> Result<(), Error> {
        self.0.token_handle().json_set(TokenInput::RemoveToken(number)).map(|_| ()).map_err(explained)
    }

    /// Cipher, mode, UUID, size of the volume key in bytes, start of the data in bytes.
    pub fn facts(&mut self) -> Result<Facts, Error> {
        let mut status = self.0.status_handle();
        Ok(Facts {
            cipher: status.get_cipher().map_err(explained)?,
            mode: status.get_cipher_mode().map_err(explained)?,
            uuid: status.get_uuid().map_err(explained)?,
            key_size: u32::try_from(status.get_volume_key_size()).unwrap_or(0),
            data_offset: status.get_data_offset().saturating_mul(512),
        })
    }
}

/// What a header says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Cipher, such as `aes`.
    pub cipher: String,
    /// Mode, such as `xts-plain64`.
    pub mode: String,
    /// Header UUID.
    pub uuid: Uuid,
    /// Bytes of the volume key.
    pub key_size: u32,
    /// First byte of the data.
    pub data_offset: u64,
}

/// Gives a suspended device its volume key back and lets it go on.
pub fn resume(name: &str, volume_key: &Secret) -> Result<(), Error> {
    let (name, key) = (c_string(name)?, volume_key.open());
    let (_luks, device) = active(&name)?;
    // SAFETY: the context lives for the call, the name is a C string, the key is read for its true length.
    checked(unsafe { raw::crypt_resume_by_volume_key(device, name.as_ptr(), key.as_ptr().cast(), key.len()) })
}

/// The context of an active device, and the pointer for calls that the wrapper has not.
fn active(name: &CStr) -> Result<(Luks, *mut raw::crypt_device), Error> {
    libcryptsetup_rs::set_log_callback::<()>(Some(listen), None);
    let mut device = std::ptr::null_mut();
    // SAFETY: the name is a C string and the pointer is ours to be set.
    checked(unsafe { raw::crypt_init_by_name(&mut device, name.as_ptr()) })?;
    Ok((Luks::with_keys_where_they_can_be(CryptDevice::from_ptr(device))?, device))
}

fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(std::ffi::OsStr::new(text).as_bytes())
        .map_err(|_| Error { errno: Some(libc::EINVAL), text: "a name holds a NUL".into() })
}
