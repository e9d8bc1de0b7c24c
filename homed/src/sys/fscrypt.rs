//! Folders that the kernel encrypts (fscrypt; Documentation/filesystems/fscrypt.rst of Linux, linux/fscrypt.h).
//!
//! A folder has a policy, which names a key. The key is given to a file system as a whole, and all folders whose policies
//! name it can be read until it is taken back. What is open then stays readable until it is closed.

use linux_raw_sys::general::{
    FSCRYPT_KEY_REMOVAL_STATUS_FLAG_FILES_BUSY, FSCRYPT_KEY_SPEC_TYPE_DESCRIPTOR,
    FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER, FSCRYPT_KEY_STATUS_ABSENT, FSCRYPT_MODE_AES_256_CTS,
    FSCRYPT_MODE_AES_256_XTS, FSCRYPT_POLICY_FLAGS_PAD_32, FSCRYPT_POLICY_V1, FSCRYPT_POLICY_V2,
    fscrypt_add_key_arg, fscrypt_get_key_status_arg, fscrypt_get_policy_ex_arg, fscrypt_key_specifier,
    fscrypt_policy_v2, fscrypt_remove_key_arg,
};
use linux_raw_sys::ioctl::{
    FS_IOC_ADD_ENCRYPTION_KEY, FS_IOC_GET_ENCRYPTION_KEY_STATUS, FS_IOC_GET_ENCRYPTION_POLICY_EX,
    FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS, FS_IOC_SET_ENCRYPTION_POLICY,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use zeroize::Zeroize;

/// Largest key, in bytes (`FSCRYPT_MAX_KEY_SIZE`), and that of the homes we make.
pub const KEY: usize = 64;

/// What a policy calls its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Of policies of version 1: eight bytes that whoever made it has chosen.
    Descriptor([u8; 8]),
    /// Of policies of version 2: the kernel makes it from the key.
    Identifier([u8; 16]),
}

/// What an open folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// Encrypted, with the key of this name.
    Encrypted(Name),
    /// Not encrypted; it could be.
    Plain,
    /// Neither this kernel nor its file system could encrypt it.
    Impossible,
}

/// What became of a key that was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nothing of what it encrypts can be read any more.
    Whole,
    /// The key itself is wiped; files that are open stay readable until they are closed.
    Busy,
    /// It was not there.
    Absent,
}

/// What a folder is.
pub fn folder(directory: impl AsFd) -> io::Result<Folder> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut argument: fscrypt_get_policy_ex_arg = unsafe { std::mem::zeroed() };
    argument.policy_size = size_of_val(&argument.policy) as u64;
    match call(directory, FS_IOC_GET_ENCRYPTION_POLICY_EX, &mut argument) {
        Ok(()) => {}
        Err(error) => {
            return match error.raw_os_error() {
                Some(libc::ENODATA) => Ok(Folder::Plain),
                Some(libc::ENOTTY | libc::EOPNOTSUPP) => Ok(Folder::Impossible),
                _ => Err(error),
            };
        }
    }
    // SAFETY: every policy begins with its version, and all of the union is initialised.
    let version = u32::from(unsafe { argument.policy.version });
    match version {
        FSCRYPT_POLICY_V1 => {
            // SAFETY: of this version the kernel has filled in this struct; any bytes are a valid value of it.
            let policy = unsafe { argument.policy.v1 };
            Ok(Folder::Encrypted(Name::Descriptor(policy.master_key_descriptor)))
        }
        FSCRYPT_POLICY_V2 => {
            // SAFETY: of this version the kernel has filled in this struct; any bytes are a valid value of it.
            let policy = unsafe { argument.policy.v2 };
            Ok(Folder::Encrypted(Name::Identifier(policy.master_key_identifier)))
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Has all that comes into an empty folder encrypted: contents with AES-256-XTS, names with AES-256-CTS, padded to 32 bytes.
/// Root may do so before the file system has the key.
pub fn encrypt(directory: impl AsFd, identifier: [u8; 16]) -> io::Result<()> {
    let mut policy = fscrypt_policy_v2 {
        version: FSCRYPT_POLICY_V2 as u8,
        contents_encryption_mode: FSCRYPT_MODE_AES_256_XTS as u8,
        filenames_encryption_mode: FSCRYPT_MODE_AES_256_CTS as u8,
        flags: FSCRYPT_POLICY_FLAGS_PAD_32 as u8,
        log2_data_unit_size: 0,
        __reserved: [0; 3],
        master_key_identifier: identifier,
    };
    call(directory, FS_IOC_SET_ENCRYPTION_POLICY, &mut policy)
}

/// A key as the kernel takes it: the bytes follow the struct.
#[repr(C)]
struct WithKey {
    argument: fscrypt_add_key_arg,
    raw: [u8; KEY],
}

/// Gives a key to the file system of an open folder. `InvalidInput`: it is not the one that the name belongs to, or too long.
pub fn give(directory: impl AsFd, name: Name, key: &[u8]) -> io::Result<()> {
    if key.len() > KEY {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut with: WithKey = unsafe { std::mem::zeroed() };
    with.argument.key_spec = specifier(name);
    with.argument.raw_size = key.len() as u32;
    with.raw[..key.len()].copy_from_slice(key);
    let done = call(directory, FS_IOC_ADD_ENCRYPTION_KEY, &mut with);
    with.raw.zeroize();
    done?;
    // The kernel says what it calls the key.
    if is_called(&with.argument.key_spec, name) { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Takes a key back from the file system of an open folder, whoever has given it, writes out what is not on disk yet, and throws out of memory what
/// nobody has open. The folder must not be encrypted with it: it would be what is open.
pub fn take_back(directory: impl AsFd, name: Name) -> io::Result<Taken> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut argument: fscrypt_remove_key_arg = unsafe { std::mem::zeroed() };
    argument.key_spec = specifier(name);
    match call(directory, FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS, &mut argument) {
        Ok(()) if argument.removal_status_flags & FSCRYPT_KEY_REMOVAL_STATUS_FLAG_FILES_BUSY != 0 => {
            Ok(Taken::Busy)
        }
        Ok(()) => Ok(Taken::Whole),
        Err(error) if error.raw_os_error() == Some(libc::ENOKEY) => Ok(Taken::Absent),
        Err(error) => Err(error),
    }
}

/// Whether the file system of an open folder has anything of a key: the key, or files that stay readable without it.
pub fn is_there(directory: impl AsFd, name: Name) -> io::Result<bool> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut argument: fscrypt_get_key_status_arg = unsafe { std::mem::zeroed() };
    argument.key_spec = specifier(name);
    call(directory, FS_IOC_GET_ENCRYPTION_KEY_STATUS, &mut argument)?;
    Ok(argument.status != FSCRYPT_KEY_STATUS_ABSENT)
}

/// Whether something failed since it would have taken a key that is not there.
pub fn lacks_key(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOKEY)
}

fn specifier(name: Name) -> fscrypt_key_specifier {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut specifier: fscrypt_key_specifier = unsafe { std::mem::zeroed() };
    match name {
        Name::Descriptor(bytes) => {
            (specifier.type_, specifier.u.descriptor) = (FSCRYPT_KEY_SPEC_TYPE_DESCRIPTOR, bytes);
        }
        Name::Identifier(bytes) => {
            (specifier.type_, specifier.u.identifier) = (FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER, bytes);
        }
    }
    specifier
}

fn is_called(specifier: &fscrypt_key_specifier, name: Name) -> bool {
    match name {
        // SAFETY: all of the union is initialised; any bytes are a valid value.
        Name::Descriptor(bytes) => unsafe { specifier.u.descriptor == bytes },
        // SAFETY: all of the union is initialised; any bytes are a valid value.
        Name::Identifier(bytes) => unsafe { specifier.u.identifier == bytes },
    }
}

/// One of these ioctls, with the struct that it reads and writes.
fn call<T>(directory: impl AsFd, request: u32, argument: &mut T) -> io::Result<()> {
    // SAFETY: the fd is open for the call, and each caller passes the struct that its request reads and writes, with the
    // key's bytes behind it where there are some.
    let answer =
        unsafe { libc::ioctl(directory.as_fd().as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_are_as_the_kernel_has_them() {
        // linux/fscrypt.h: the size is a part of each request's number (bits 16 to 29), the key follows without a gap.
        let told = |request: u32| (request >> 16 & 0x3fff) as usize;
        assert_eq!(told(FS_IOC_ADD_ENCRYPTION_KEY), size_of::<fscrypt_add_key_arg>());
        assert_eq!(told(FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS), size_of::<fscrypt_remove_key_arg>());
        assert_eq!(told(FS_IOC_GET_ENCRYPTION_KEY_STATUS), size_of::<fscrypt_get_key_status_arg>());
        assert_eq!(size_of::<WithKey>(), size_of::<fscrypt_add_key_arg>() + KEY);
        assert_eq!(size_of::<fscrypt_policy_v2>(), 24);
    }

    #[test]
    fn where_nothing_is_encrypted_that_is_said() {
        let folder_of_tests = tempfile::tempdir().expect("folder");
        let directory = std::fs::File::open(folder_of_tests.path()).expect("opens");
        assert!(matches!(folder(&directory).expect("asked"), Folder::Plain | Folder::Impossible));
        assert!(matches!(folder(std::fs::File::open("/proc").expect("opens")), Ok(Folder::Impossible)));
        let name = Name::Identifier([7; 16]);
        assert!(give(&directory, name, &[0; KEY + 1]).is_err(), "it is too long");
    }
}
