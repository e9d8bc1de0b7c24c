//! The key on the kernel's table of devices: `/dev/uhid` (Documentation/hid/uhid.rst, include/uapi/linux/uhid.h), with packets
//! as USB carries them (CTAP 2.1, 11.2).

use crate::key::Key;
use crate::{CBOR, INIT, init};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{Read, Write};

/// Events: `enum uhid_event_type`.
const OUTPUT: u32 = 6;
const CREATE2: u32 = 11;
const INPUT2: u32 = 12;
/// `sizeof(struct uhid_event)`, and of an output's data, which its size follows.
const EVENT: usize = 4380;
const DATA: usize = 4096;
/// `BUS_USB`: libfido2 looks at no other.
const USB: u16 = 3;
/// Bytes of a packet.
const PACKET: usize = 64;
/// "It is the first packet of a message", in the byte of the command.
const FIRST: u8 = 0x80;
const PING: u8 = 0x01;
const CANCEL: u8 = 0x11;
const ERROR: u8 = 0x3f;

/// Usage page 0xf1d0, usage 1: 64 bytes in, 64 bytes out (CTAP 2.1, 11.2.8.1).
const REPORTS: &[u8] = &[
    0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x20, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95,
    0x40, 0x81, 0x02, 0x09, 0x21, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x40, 0x91, 0x02, 0xc0,
];

/// A message that comes in pieces.
struct Message {
    channel: [u8; 4],
    command: u8,
    length: usize,
    content: Vec<u8>,
}

/// Plugs it in, and answers until it is ended.
pub fn run(key: &mut Key, name: &str) -> Result<()> {
    let mut device = File::options().read(true).write(true).open("/dev/uhid").context("/dev/uhid")?;
    device.write_all(&created(name))?;
    let (mut event, mut pending) = (vec![0; EVENT], None);
    loop {
        let length = device.read(&mut event)?;
        ensure!(length >= 4, "a short event");
        if event[..4] == OUTPUT.to_ne_bytes() {
            let size = usize::from(u16::from_ne_bytes([event[4 + DATA], event[5 + DATA]]));
            // The number of the report, 0, goes before the packet.
            let packet = event[4..4 + size.min(DATA)].to_vec();
            let packet = packet.get(size.saturating_sub(PACKET)..).unwrap_or_default();
            if let Some(message) = gathered(packet, &mut pending) {
                answered(key, &mut device, &message)?;
            }
        }
    }
}

/// `struct uhid_create2_req`.
fn created(name: &str) -> Vec<u8> {
    let text = |text: &str, size: usize| {
        let mut bytes = text.as_bytes()[..text.len().min(size - 1)].to_vec();
        bytes.resize(size, 0);
        bytes
    };
    let mut event = CREATE2.to_ne_bytes().to_vec();
    event.extend([text(name, 128), text("", 64), text(name, 64)].concat());
    event.extend((REPORTS.len() as u16).to_ne_bytes());
    event.extend(USB.to_ne_bytes());
    // No maker's number that anybody has, and a product, version and country.
    event.extend([0xf055_u32, 1, 1, 0].map(u32::to_ne_bytes).concat());
    event.extend(REPORTS);
    event
}

/// Puts a packet to those before it; the message, if it is whole.
fn gathered(packet: &[u8], pending: &mut Option<Message>) -> Option<Message> {
    let (channel, rest) = packet.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first()?;
    if kind & FIRST != 0 {
        let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        let content = rest[2..].to_vec();
        *pending = Some(Message { channel: *channel, command: kind & !FIRST, length, content });
    } else {
        pending.as_mut().filter(|message| message.channel == *channel)?.content.extend(rest);
    }
    let mut message = pending.take_if(|message| message.content.len() >= message.length)?;
    message.content.truncate(message.length);
    Some(message)
}

fn answered(key: &mut Key, device: &mut File, message: &Message) -> Result<()> {
    let (command, content) = match message.command {
        INIT => (INIT, init(&message.content)),
        CBOR => (CBOR, key.answer(&message.content)),
        PING => (PING, message.content.clone()),
        // A cancel has no answer of its own, and nothing waits here while an event is read.
        CANCEL => return Ok(()),
        // ERR_INVALID_CMD.
        _ => (ERROR, vec![1]),
    };
    let mut pieces = vec![(command | FIRST, content.get(..57).unwrap_or(&content))];
    let rest = content.get(57..).unwrap_or_default();
    pieces.extend(rest.chunks(59).enumerate().map(|(number, piece)| (number as u8, piece)));
    for (at, (kind, piece)) in pieces.into_iter().enumerate() {
        let mut packet = [&message.channel[..], &[kind]].concat();
        if at == 0 {
            packet.extend(u16::try_from(content.len())?.to_be_bytes());
        }
        packet.extend(piece);
        packet.resize(PACKET, 0);
        let event = [&INPUT2.to_ne_bytes()[..], &(PACKET as u16).to_ne_bytes(), &packet].concat();
        device.write_all(&event)?;
    }
    Ok(())
}
