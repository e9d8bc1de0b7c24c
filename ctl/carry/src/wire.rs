//! What goes over the line: numbers are little-endian.

use std::io::{Read, Write};

/// What every talk begins with; the last byte is the version.
const MAGIC: &[u8; 12] = b"homed-carry\x02";
/// Longest name of a home, in bytes.
const LONGEST_NAME: usize = 512;
/// Longest LUKS UUID, in bytes, as text.
const LONGEST_UUID: usize = 36;
/// Longest sentence of the other end, in bytes.
const LONGEST_WORDS: usize = 1024;
/// Largest image, in bytes: 5 TiB, as for homes.
pub const LARGEST: u64 = 5 << 40;
/// Bytes of a hash.
pub const HASH: usize = 32;

/// What both ends say first.
pub mod tag {
    /// Hashes of one group.
    pub const HASHES: u8 = b'H';
    /// Groups of zeros.
    pub const ZEROS: u8 = b'Z';
    /// Blocks of a group.
    pub const BLOCKS: u8 = b'B';
    /// The end.
    pub const END: u8 = b'E';
    /// It goes on.
    pub const YES: u8 = b'Y';
    /// It does not: words follow.
    pub const NO: u8 = b'N';
}

/// Why an image did not arrive. What did stays, and the next talk goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The line, or a file, failed.
    #[error("{what}: {error}")]
    Io {
        /// Doing what.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// The other end does not want it, or cannot.
    #[error("the other end says: {0}")]
    Refused(String),
    /// What came is not what may come.
    #[error("what came over the line is not right: {0}; it was not put in place")]
    Broken(&'static str),
}

/// Which image is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// `NAME[@REALM]` of the home. Foreign text: whoever uses it looks at it first.
    pub name: String,
    /// Size of the image in bytes.
    pub size: u64,
    /// Bytes of it that are no holes: what it takes where it arrives, at most. The sender's word.
    pub content: u64,
    /// UUID of its LUKS header, in small letters; empty: it has none that can be read. The sender's word, too: the image
    /// itself is looked at once it is there.
    pub luks: String,
}

impl Greeting {
    /// The bytes of it.
    pub fn bytes(&self) -> Result<Vec<u8>, Failure> {
        self.is_possible()?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.content.to_le_bytes());
        for text in [&self.name, &self.luks] {
            // It is no longer than what was looked at.
            bytes.extend(u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        Ok(bytes)
    }

    /// Reads it.
    pub fn read(line: &mut dyn Read) -> Result<Self, Failure> {
        if &array::<12>(line)? != MAGIC {
            return Err(Failure::Broken(
                "it does not begin as a home that is carried, or is of another version",
            ));
        }
        let (size, content) = (number(line)?, number(line)?);
        let name = text(line, LONGEST_NAME)?;
        let greeting = Self { name, size, content, luks: text(line, LONGEST_UUID)? };
        greeting.is_possible()?;
        Ok(greeting)
    }

    fn is_possible(&self) -> Result<(), Failure> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        match self {
            _ if self.name.len() > LONGEST_NAME => Err(Failure::Broken("the name is too long")),
            _ if self.size == 0 || self.size > LARGEST || self.content > self.size => {
                Err(Failure::Broken("an image of that size cannot be carried"))
            }
            _ if self.luks.len() > LONGEST_UUID || !self.luks.bytes().all(is_digit) => {
                Err(Failure::Broken("that is no UUID"))
            }
            _ => Ok(()),
        }
    }
}

fn text(line: &mut dyn Read, longest: usize) -> Result<String, Failure> {
    let length = usize::from(u16::from_le_bytes(array(line)?));
    if length > longest {
        return Err(Failure::Broken("a name that cannot be"));
    }
    String::from_utf8(bytes(line, length)?).map_err(|_| Failure::Broken("the name is no text"))
}

/// Names what failed.
pub fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::Io { what, error }
}

/// Writes all of it.
pub fn put(line: &mut dyn Write, bytes: &[u8]) -> Result<(), Failure> {
    line.write_all(bytes).map_err(failed("writing to the other end"))
}

/// Has it go out.
pub fn flush(line: &mut dyn Write) -> Result<(), Failure> {
    line.flush().map_err(failed("writing to the other end"))
}

/// Reads so many bytes. The length is bounded by who asks.
pub fn bytes(line: &mut dyn Read, length: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; length];
    line.read_exact(&mut bytes).map_err(failed("reading from the other end"))?;
    Ok(bytes)
}

/// Reads as many.
pub fn array<const N: usize>(line: &mut dyn Read) -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    line.read_exact(&mut bytes).map_err(failed("reading from the other end"))?;
    Ok(bytes)
}

/// Reads a number.
pub fn number(line: &mut dyn Read) -> Result<u64, Failure> {
    array(line).map(u64::from_le_bytes)
}

/// Says no, and why; cut to what the other end reads.
pub fn refuse(line: &mut dyn Write, why: &str) -> Result<(), Failure> {
    let mut end = why.len().min(LONGEST_WORDS);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    let words = &why.as_bytes()[..end];
    put(line, &[tag::NO])?;
    put(line, &u16::try_from(words.len()).unwrap_or(0).to_le_bytes())?;
    put(line, words)?;
    flush(line)
}

/// Reads yes, or the words after no: nothing in them moves a cursor.
pub fn answer(line: &mut dyn Read) -> Result<(), Failure> {
    match array::<1>(line)?[0] {
        tag::YES => Ok(()),
        tag::NO => Err(words(line)),
        _ => Err(Failure::Broken("neither yes nor no")),
    }
}

/// The words after no.
pub fn words(line: &mut dyn Read) -> Failure {
    let words = array(line).and_then(|length| {
        let length = usize::from(u16::from_le_bytes(length));
        if length > LONGEST_WORDS { Err(Failure::Broken("too many words")) } else { bytes(line, length) }
    });
    match words {
        Ok(words) => {
            let text = String::from_utf8_lossy(&words);
            Failure::Refused(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
        }
        Err(failure) => failure,
    }
}
