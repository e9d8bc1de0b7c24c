//! Numbers and buffers as commands and responses have them: big endian, and a TPM2B with its size in two bytes before it.

use crate::Failure;
use zeroize::Zeroizing;

/// Most bytes of a response; a TPM's own limit is 4096.
pub const MOST: usize = 4096;

/// Bytes that are written. They are wiped: some are secret.
pub struct Out(Zeroizing<Vec<u8>>);

impl Out {
    /// Nothing yet. Has its whole room at once: a vector that grows leaves pieces behind.
    pub fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(MOST)))
    }

    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// With its size before it. What is too long for that is cut, which the TPM refuses.
    pub fn sized(self, bytes: &[u8]) -> Self {
        let size = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(size).bytes(&bytes[..usize::from(size)])
    }

    /// What was written.
    pub fn get(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes that are read; what ends too early is a failure.
pub struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| Failure::Broken("a response ends early".into()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let taken = self.bytes(N)?;
        taken.try_into().map_err(|_| Failure::Broken("a response ends early".into()))
    }

    pub fn u8(&mut self) -> Result<u8, Failure> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Result<u16, Failure> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, Failure> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A buffer with its size before it.
    pub fn sized(&mut self) -> Result<&'a [u8], Failure> {
        let size = self.u16()?;
        self.bytes(usize::from(size))
    }

    /// All that is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_beyond_its_end() {
        let out = Out::new().u8(1).u16(0x0203).u32(0x0405_0607).sized(b"ab").bytes(b"z");
        assert_eq!(out.get(), [1, 2, 3, 4, 5, 6, 7, 0, 2, b'a', b'b', b'z']);
        let mut read = In::new(out.get());
        assert_eq!((read.u8(), read.u16(), read.u32()), (Ok(1), Ok(0x0203), Ok(0x0405_0607)));
        assert_eq!((read.sized(), read.rest()), (Ok(&b"ab"[..]), &b"z"[..]));
        assert!(read.u16().is_err());
        assert!(In::new(&[0, 9, 1]).sized().is_err());
    }
}
