//! A security key of the test machine whose firmware is that of keys one can buy (`fido-authenticator`: Nitrokey 3, Solo 2), at a socket.
//!
//! `firmkey SOCKET FOLDER`, as `softkey`; the folder is its memory, and what its user does:
//!
//! | file | meaning |
//! | --- | --- |
//! | `internal`, `external` | its flash memory |
//! | `pin` | the PIN that its user gives it when it is plugged in, if it has none yet |
//! | `untouched` | while it is there nobody touches the key, and it gives up after a second |
//! | `touches` | a line for each touch |

// `softkey` has more of both than is needed here.
#[allow(dead_code)]
#[path = "../../src/bin/softkey/crypto.rs"]
mod crypto;
#[allow(dead_code)]
#[path = "../../src/bin/softkey/ctap.rs"]
mod ctap;
mod firmware;
mod pin;

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// CTAPHID commands (CTAP 2.1, 11.2.9).
const INIT: u8 = 0x06;
const CBOR: u8 = 0x10;

/// Answers a message of CBOR.
type Answer<'a> = dyn FnMut(&[u8]) -> Result<Vec<u8>> + 'a;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (socket, folder) = words.next().zip(words.next()).context("usage: firmkey SOCKET FOLDER")?;
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    firmware::run(&folder, &mut |answer| {
        if let Ok(pin) = std::fs::read_to_string(folder.join("pin")) {
            pin::set(pin.trim(), answer)?;
        }
        serve(Path::new(&socket), answer)
    })
}

fn serve(socket: &Path, answer: &mut Answer<'_>) -> Result<()> {
    // What an earlier one has left.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).with_context(|| socket.display().to_string())?;
    for line in listener.incoming() {
        // Whoever breaks the line off has unplugged nothing.
        let _ = talk(line?, answer);
    }
    Ok(())
}

/// Framing: `homed/fido2/src/sys/socket.rs`.
fn talk(mut line: UnixStream, answer: &mut Answer<'_>) -> Result<()> {
    loop {
        let mut head = [0; 5];
        line.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let mut content = vec![0; usize::try_from(length)?];
        line.read_exact(&mut content)?;
        let answer = match head[0] & 0x7f {
            // A channel, version 2 of the protocol, a version of the device, and "it speaks CBOR, and not U2F".
            INIT => [&content[..], &[0, 0, 0, 1, 2, 1, 0, 0, 0x0c]].concat(),
            CBOR => answer(&content)?,
            // A cancel has no answer of its own, and nothing waits here while a line is read.
            _ => continue,
        };
        line.write_all(&[&head[..1], &u32::try_from(answer.len())?.to_le_bytes(), &answer].concat())?;
    }
}
