//! A security key of the test machine: CTAP 2.0 with hmac-secret and PIN protocol 1, at a socket.
//!
//! `softkey SOCKET FOLDER`; `softkey /dev/uhid FOLDER` plugs it in as a device of the kernel's; `softkey answer FOLDER CREDENTIAL SALT` (in Base64) prints what it answers with its user verified.
//! The folder is its memory, and what its user does:
//!
//! | file | meaning |
//! | --- | --- |
//! | `seed` | what all its secrets are made of; made when it is first plugged in |
//! | `pin`, `tries` | its PIN, if it has one, and how often a wrong one may be given still (8) |
//! | `untouched` | while it is there nobody touches the key, and it gives up after 300 ms |
//! | `held` | while it is there the key waits for its touch |
//! | `finger` | it can verify its user by itself, and does |
//! | `always-uv` | it wants its user verified at each use with a touch, whatever is asked for |
//! | `touches` | a line for each touch |
//!
//! Unplugged and plugged in again is: ended, and started again. Framing: `homed/fido2/src/sys/socket.rs`.

mod crypto;
mod ctap;
mod key;
mod pin;
mod uhid;

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

/// CTAPHID commands (CTAP 2.1, 11.2.9).
const INIT: u8 = 0x06;
const CBOR: u8 = 0x10;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let socket = words.next().context("usage: softkey SOCKET FOLDER")?;
    if socket == "answer" {
        let [folder, credential, salt] = <[String; 3]>::try_from(words.collect::<Vec<_>>())
            .map_err(|_| anyhow::anyhow!("usage: softkey answer FOLDER CREDENTIAL SALT"))?;
        let bytes = |text: &str| openssl::base64::decode_block(text);
        let answer = key::Key::plugged_in(folder.into())?.answer_to(&bytes(&credential)?, &bytes(&salt)?)?;
        println!("{}", openssl::base64::encode_block(&answer));
        return Ok(());
    }
    let mut key = key::Key::plugged_in(words.next().context("usage: softkey SOCKET FOLDER")?.into())?;
    if socket == "/dev/uhid" {
        return uhid::run(&mut key, "Soft Key");
    }
    // What an earlier one has left.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).with_context(|| socket.clone())?;
    for line in listener.incoming() {
        // Whoever breaks the line off has unplugged nothing.
        let _ = serve(&mut key, line?);
    }
    Ok(())
}

fn serve(key: &mut key::Key, mut line: UnixStream) -> Result<()> {
    loop {
        let mut head = [0; 5];
        line.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let mut content = vec![0; usize::try_from(length)?];
        line.read_exact(&mut content)?;
        let answer = match head[0] & 0x7f {
            INIT => init(&content),
            CBOR => key.answer(&content),
            // A cancel has no answer of its own, and nothing waits here while a line is read.
            _ => continue,
        };
        line.write_all(&[&head[..1], &u32::try_from(answer.len())?.to_le_bytes(), &answer].concat())?;
    }
}

/// The nonce, a channel, version 2 of the protocol, a version of the device, and "it speaks CBOR, and not U2F".
fn init(nonce: &[u8]) -> Vec<u8> {
    [nonce, &[0, 0, 0, 1, 2, 1, 0, 0, 0x0c]].concat()
}
