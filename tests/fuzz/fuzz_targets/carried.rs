//! What arrives of a home that somebody sends, or that is in a file: nothing is written that its hash does not vouch for, and no
//! stream makes the reader take more memory or time than its length is worth.
#![no_main]

use carry::{Greeting, Parcel, Peer, Source, Target, receive, send};
use libfuzzer_sys::fuzz_target;
use std::io;

/// As large as a stream says, at most so large.
struct Image(Vec<u8>);

const LARGEST: usize = 4 << 20;

impl Image {
    fn place(&mut self, offset: u64, length: usize) -> io::Result<&mut [u8]> {
        let begin = usize::try_from(offset).map_err(|_| io::ErrorKind::StorageFull)?;
        let end =
            begin.checked_add(length).filter(|end| *end <= LARGEST).ok_or(io::ErrorKind::StorageFull)?;
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        Ok(&mut self.0[begin..end])
    }
}

impl Source for Image {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        buffer.fill(0);
        let begin = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        if let Some(there) = self.0.get(begin..) {
            let length = there.len().min(buffer.len());
            buffer[..length].copy_from_slice(&there[..length]);
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok((offset < self.0.len() as u64).then_some(offset))
    }
}

impl Target for Image {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.place(offset, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn zero(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let end = offset.checked_add(length).expect("no further than the image's end");
        let there = (self.0.len() as u64).min(end);
        if offset < there {
            self.place(offset, usize::try_from(there - offset).expect("small"))?.fill(0);
        }
        Ok(())
    }
}

/// Reads a stream; the image, where it was taken for whole.
fn read(stream: &[u8], answered: bool) -> Option<(u64, Image)> {
    let (mut line, mut said) = (stream, Vec::new());
    let answers: Option<&mut dyn io::Write> = if answered { Some(&mut said) } else { None };
    let offer = receive(&mut line, answers).ok()?;
    let size = offer.greeting().size;
    let mut image = Image(Vec::new());
    offer.accept(&mut image, None, &mut |_| ()).ok()?;
    assert!(image.0.len() as u64 <= size, "no longer than it said");
    Some((size, image))
}

/// Made-up bytes, and a stream that is right but for some of its bytes.
fuzz_target!(|input: (Vec<u8>, Vec<(u16, u8)>)| {
    let (content, changes) = input;
    read(&content, false);
    read(&content, true);
    if content.is_empty() {
        return;
    }
    let image = Image(content);
    let size = image.0.len() as u64;
    let greeting = Greeting { name: "alice".into(), size, content: size, luks: String::new() };
    let mut stream = Vec::new();
    let sent = send(Parcel { source: &image, greeting: &greeting }, &mut stream, Peer::None, &mut |_| ());
    sent.expect("it can be sent");
    let whole = stream.clone();
    for (place, byte) in changes {
        let length = stream.len();
        stream[usize::from(place) % length] = byte;
    }
    let came = read(&stream, false);
    if stream == whole {
        let (_, mut came) = came.expect("what is right is taken");
        came.0.resize(image.0.len(), 0);
        assert!(came.0 == image.0, "it is the same");
    }
});
