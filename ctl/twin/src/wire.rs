//! Bytes on the line, and in the files that a home keeps of its pairs. Little endian; each length is bounded before anything is read.

use std::io::{Error, Read, Write};

/// Why nothing more was done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file, or the line.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What came of it.
        error: Error,
    },
    /// What came from the other end, or from a file, is none of it.
    #[error("what came is no part of a sync: {0}")]
    Broken(&'static str),
    /// What arrives has no room here.
    #[error("{needed} bytes would arrive, and there is room for {free}")]
    NoRoom {
        /// Bytes that would arrive.
        needed: u64,
        /// Bytes that are free, less what is left free.
        free: u64,
    },
    /// Both ends are the same machine.
    #[error("both ends are this machine")]
    SameMachine,
    /// Another one runs.
    #[error("another sync of this home runs")]
    Runs,
    /// Whoever watches wanted no more.
    #[error("it was stopped")]
    Stopped,
}

/// Names what failed.
pub(crate) fn failed<E: Into<Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Io { what: what.into(), error: error.into() }
}

/// Writes all of it.
pub(crate) fn put(line: &mut dyn Write, bytes: &[u8]) -> Result<(), Failure> {
    line.write_all(bytes).map_err(failed("writing to the other end"))
}

/// Has it go out.
pub(crate) fn flush(line: &mut dyn Write) -> Result<(), Failure> {
    line.flush().map_err(failed("writing to the other end"))
}

/// Reads so many bytes; the length is bounded by who asks.
pub(crate) fn bytes(line: &mut dyn Read, length: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; length];
    line.read_exact(&mut bytes).map_err(failed("reading from the other end"))?;
    Ok(bytes)
}

/// Reads as many.
pub(crate) fn array<const N: usize>(line: &mut dyn Read) -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    line.read_exact(&mut bytes).map_err(failed("reading from the other end"))?;
    Ok(bytes)
}

/// Reads one byte.
pub(crate) fn byte(line: &mut dyn Read) -> Result<u8, Failure> {
    array::<1>(line).map(|[byte]| byte)
}

/// Reads a number of eight bytes.
pub(crate) fn number(line: &mut dyn Read) -> Result<u64, Failure> {
    array(line).map(u64::from_le_bytes)
}

/// Writes a text or a name with its length.
pub(crate) fn put_text(line: &mut dyn Write, text: &[u8]) -> Result<(), Failure> {
    let length = u16::try_from(text.len()).map_err(|_| Failure::Broken("a name that is too long"))?;
    put(line, &length.to_le_bytes())?;
    put(line, text)
}

/// Reads one that is no longer than that.
pub(crate) fn text(line: &mut dyn Read, longest: usize) -> Result<Vec<u8>, Failure> {
    let length = usize::from(u16::from_le_bytes(array(line)?));
    if length > longest {
        return Err(Failure::Broken("a name that is too long"));
    }
    bytes(line, length)
}
