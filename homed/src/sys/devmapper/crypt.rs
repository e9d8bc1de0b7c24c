//! dm-crypt devices: what their table says, and another length for one.

use super::Key;
use super::clear_inactive;
use super::request::{
    DEV_SUSPEND, NO_FLUSH, Request, SECURE_DATA, SKIP_LOCK_FS, STATUS_TABLE, TABLE_LOAD, TABLE_STATUS,
    malformed,
};
use std::io;
use zeroize::Zeroizing;

/// A dm-crypt device: what it lies on, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypt {
    /// Its size in sectors of 512 bytes.
    pub sectors: u64,
    /// Major and minor number of the device below.
    pub below: (u32, u32),
    /// Where the data begin on the device below, in sectors of 512 bytes.
    pub start: u64,
    /// The name of its key, which is in a keyring; `None`: the key itself was given.
    pub key_name: Option<String>,
}

/// The dm-crypt device of a name; `None`: there is none.
pub fn crypt(name: &str) -> io::Result<Option<Crypt>> {
    let Some((sectors, parameters)) = crypt_table(name)? else { return Ok(None) };
    read_crypt(sectors, &parameters).map(Some).ok_or_else(malformed)
}

/// The length of a dm-crypt device and its parameters; the key is among them where it is in no keyring.
fn crypt_table(name: &str) -> io::Result<Option<(u64, Zeroizing<String>)>> {
    let mut request = Request::new(name, STATUS_TABLE | NO_FLUSH | SECURE_DATA)?;
    match request.send(TABLE_STATUS) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
        other => other?,
    }
    let target = request.data().ok_or_else(malformed)?;
    let sectors = target.get(8..16).and_then(|b| b.try_into().ok()).map(u64::from_ne_bytes);
    let parameters = target.get(40..).ok_or_else(malformed)?;
    if !target.get(24..40).is_some_and(|kind| kind.starts_with(b"crypt\0"))
        || place_of_key(parameters) == Key::Wiped
    {
        return Err(io::Error::other("the device has no key to encrypt with"));
    }
    let end = parameters.iter().position(|byte| *byte == 0).unwrap_or(parameters.len());
    let text = std::str::from_utf8(&parameters[..end]).map_err(|_| malformed())?;
    Ok(Some((sectors.ok_or_else(malformed)?, Zeroizing::new(text.to_owned()))))
}

fn read_crypt(sectors: u64, parameters: &str) -> Option<Crypt> {
    let words: Vec<&str> = parameters.split(' ').collect();
    let (major, minor) = words.get(3)?.split_once(':')?;
    Some(Crypt {
        sectors,
        below: (major.parse().ok()?, minor.parse().ok()?),
        start: words.get(4)?.parse().ok()?,
        // `:SIZE:TYPE:NAME`; the name may have colons.
        key_name: words
            .get(1)?
            .strip_prefix(':')
            .and_then(|key| key.splitn(3, ':').nth(2))
            .map(str::to_owned),
    })
}

pub(super) fn name_of_key(parameters: &[u8]) -> Option<String> {
    let key = parameters.split(|byte| matches!(byte, 0 | b' ')).nth(1)?.strip_prefix(b":")?;
    std::str::from_utf8(key).ok()?.splitn(3, ':').nth(2).map(str::to_owned)
}

/// Gives a dm-crypt device another length. A key that is in a keyring has to be in one of this thread. Requests wait for a
/// moment; killed on the way, the device goes on with either length.
pub fn resize(name: &str, sectors: u64) -> io::Result<()> {
    let Some((_, parameters)) = crypt_table(name)? else {
        return Err(io::Error::from_raw_os_error(libc::ENXIO));
    };
    let mut load = Request::new(name, SECURE_DATA)?;
    load.put_target(sectors, "crypt", parameters.as_bytes())?;
    // What an earlier change has left, which was killed on its way.
    clear_inactive(name)?;
    load.send(TABLE_LOAD)?;
    // With a new table at hand this stops the device, changes it, and lets it go on: one request, so that nobody
    // can be killed in between. The file system need not be frozen for it. Broken off while it waits for requests that
    // are under way, the kernel keeps the new table, and its key with it.
    let changed = Request::new(name, SKIP_LOCK_FS)?.send(DEV_SUSPEND);
    if changed.is_err() {
        clear_inactive(name)?;
    }
    changed
}

/// dm-crypt's parameters: `cipher key iv-offset device start …`.
pub(super) fn place_of_key(parameters: &[u8]) -> Key {
    let end = parameters.iter().position(|byte| *byte == 0).unwrap_or(parameters.len());
    let key = parameters[..end].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match key {
        [b':', ..] => Key::InKeyring,
        digits if digits.iter().all(|digit| matches!(digit, b'0' | b'-')) => Key::Wiped,
        _ => Key::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let read = |text| read_crypt(100, text);
        assert_eq!(
            read("aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 7:3 32768 1 sector_size:4096"),
            Some(Crypt {
                sectors: 100,
                below: (7, 3),
                start: 32768,
                key_name: Some("cryptsetup:x-d0".into())
            })
        );
        let plain = Crypt { sectors: 100, below: (7, 3), start: 32768, key_name: None };
        assert_eq!(read("aes-xts-plain64 00a0 0 7:3 32768 1 sector_size:4096"), Some(plain));
        assert_eq!(read(""), None);
    }

    #[test]
    fn the_place_of_the_key_is_read() {
        assert_eq!(place_of_key(b"aes-xts-plain64 0000 0 7:0 32768 1 sector_size:4096\0xx"), Key::Wiped);
        assert_eq!(place_of_key(b"aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 7:0 0\0"), Key::InKeyring);
        assert_eq!(place_of_key(b"aes-xts-plain64 00a0 0 7:0 0\0"), Key::Plain);
        let name = name_of_key(b"aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 7:0 0\0xx");
        assert_eq!(name.as_deref(), Some("cryptsetup:x-d0"));
        assert_eq!(name_of_key(b"aes-xts-plain64 00a0 0 7:0 0\0"), None);
    }
}
