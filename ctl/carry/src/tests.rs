//! Both ends over pipes in memory: cut at every byte, every byte changed, hostile streams.

use super::*;
use crate::receive::receive_as;
use crate::send::{Sent, send_as};
use std::cell::RefCell;
use std::io::{self, Read, Write};

/// Small enough that every byte can be tried.
const SMALL: Shape = Shape { block: 8, blocks: 4 };

#[derive(Clone, Debug, PartialEq, Eq)]
struct Image(Vec<u8>);

impl Source for Image {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let begin = usize::try_from(offset).expect("small");
        let bytes = self.0.get(begin..begin + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        let begin = usize::try_from(offset).expect("small");
        let found = self.0.iter().skip(begin).position(|byte| *byte != 0);
        Ok(found.map(|found| offset + found as u64))
    }
}

impl Target for Image {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let begin = usize::try_from(offset).expect("small");
        let place = self.0.get_mut(begin..begin + bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        place.copy_from_slice(bytes);
        Ok(())
    }

    fn zero(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.write_at(&vec![0; usize::try_from(length).expect("small")], offset)
    }
}

/// A line that breaks after so many bytes.
struct Line<L> {
    inner: L,
    left: usize,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.left);
        if length == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = self.inner.write(&bytes[..length])?;
        self.left -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn image() -> Image {
    // Groups of content, of zeros, of both, and an end that fills no block.
    let mut bytes: Vec<u8> = (0..SMALL.group() * 11 + 13).map(|n| (n * 7 % 251) as u8 | 1).collect();
    bytes[64..192].fill(0);
    bytes[200..208].fill(0);
    Image(bytes)
}

fn greeting(image: &Image) -> Greeting {
    Greeting {
        name: "alice".into(),
        size: image.0.len() as u64,
        content: 1,
        luks: "6f5a1b9c-8d3e-4f2a-9b7c-1d2e3f4a5b6c".into(),
    }
}

fn parcel<'a>(source: &'a Image, greeting: &'a Greeting) -> Parcel<'a> {
    Parcel { source, greeting }
}

type Ended = (Result<Sent, Failure>, Result<u64, Failure>);

/// One talk over two pipes; what each end has to say. The sender's line is broken as told.
fn talk(image: &Image, target: &mut Image, older: Option<&Image>, left: usize) -> Ended {
    let (from_sender, to_receiver) = io::pipe().expect("pipe");
    let (mut from_receiver, mut to_sender) = io::pipe().expect("pipe");
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let mut line = Line { inner: to_receiver, left };
            send_as(
                SMALL,
                parcel(image, &greeting(image)),
                &mut line,
                Peer::Line(&mut from_receiver),
                &mut |_| (),
            )
        });
        let received = (|| {
            let mut line = from_sender;
            let offer = receive_as(SMALL, &mut line, Some(&mut to_sender))?;
            if offer.greeting() != &greeting(image) {
                offer.refuse("that is not what was expected")?;
                return Err(Failure::Broken("another greeting"));
            }
            let received = offer.accept(target, older.map(|older| older as &dyn Source), &mut |_| ())?;
            let moved = received.moved;
            received.done()?;
            Ok(moved)
        })();
        drop(to_sender);
        (sender.join().expect("no panic"), received)
    })
}

fn empty(image: &Image) -> Image {
    Image(vec![0; image.0.len()])
}

/// How many bytes the sender of a whole talk writes.
fn length(image: &Image) -> usize {
    let mut stream = Vec::new();
    send_as(SMALL, parcel(image, &greeting(image)), &mut stream, Peer::None, &mut |_| ()).expect("sent");
    stream.len()
}

#[test]
fn an_image_arrives_and_only_what_is_missing_moves() {
    let image = image();
    let mut target = empty(&image);
    let (sent, received) = talk(&image, &mut target, None, usize::MAX);
    assert_eq!((&target, sent.expect("sent").moved), (&image, received.expect("received")));
    // Again: nothing moves.
    let (sent, received) = talk(&image, &mut target, None, usize::MAX);
    assert_eq!((sent.expect("sent").moved, received.expect("received")), (0, 0));
    // One byte is another, and an older copy is here.
    let mut newer = image.clone();
    newer.0[100] = 77;
    newer.0[300] ^= 1;
    let mut fresh = empty(&image);
    let (sent, _) = talk(&newer, &mut fresh, Some(&image), usize::MAX);
    assert_eq!((&fresh, sent.expect("sent").moved), (&newer, 2 * SMALL.block as u64));
    // What was there and is zeros now is made so.
    let (_, received) = talk(&empty(&image), &mut fresh, None, usize::MAX);
    assert_eq!((received.expect("received"), fresh), (0, empty(&image)));
}

#[test]
fn cut_at_every_byte_the_next_talk_goes_on_from_there() {
    let image = image();
    let mut moved_again = Vec::new();
    for left in 0..length(&image) {
        let mut target = empty(&image);
        let (sent, received) = talk(&image, &mut target, None, left);
        assert!(sent.is_err() && received.is_err(), "cut after {left}: nobody believes it is whole");
        // What was written is right, all of it.
        for (there, right) in target.0.iter().zip(&image.0) {
            assert!(there == right || *there == 0, "cut after {left}");
        }
        let (sent, received) = talk(&image, &mut target, None, usize::MAX);
        assert_eq!(sent.expect("sent").moved, received.expect("received"));
        assert_eq!(target, image, "cut after {left}");
        let (sent, _) = talk(&image, &mut empty(&image), None, usize::MAX);
        moved_again.push(sent.expect("sent").moved);
    }
    assert!(moved_again.len() > 500);
}

#[test]
fn a_cut_costs_no_more_than_the_group_on_its_way() {
    let image = image();
    let mut target = empty(&image);
    let whole = talk(&image, &mut target, None, usize::MAX).1.expect("received");
    let mut target = empty(&image);
    let cut = length(&image) - 60;
    assert!(talk(&image, &mut target, None, cut).1.is_err());
    let rest = talk(&image, &mut target, None, usize::MAX).1.expect("received");
    assert!(rest < whole / 4, "{rest} of {whole} moved again");
}

#[test]
fn every_byte_changed_on_the_way_is_noticed() {
    let image = image();
    // Into an empty target all goes that is not zeros, whoever asks.
    let mut stream = Vec::new();
    let greeting = greeting(&image);
    send_as(SMALL, parcel(&image, &greeting), &mut stream, Peer::None, &mut |_| ()).expect("sent");
    for at in 0..stream.len() {
        for by in [1, 0x80, 0xff] {
            let mut other = stream.clone();
            other[at] ^= by;
            let (mut line, mut answers, mut target) = (other.as_slice(), Vec::new(), empty(&image));
            let ended = receive_as(SMALL, &mut line, Some(&mut answers))
                .and_then(|offer| offer.accept(&mut target, None, &mut |_| ()).map(|_| ()));
            assert!(ended.is_err(), "byte {at} ^ {by}");
            // What was written before that was seen is put right by the next talk.
            assert!(talk_ends_whole(&image, &mut target), "byte {at} ^ {by}");
        }
    }
}

fn talk_ends_whole(image: &Image, target: &mut Image) -> bool {
    talk(image, target, None, usize::MAX).1.is_ok() && target == image
}

#[test]
fn a_file_says_the_same_and_is_read_with_nobody_to_ask() {
    let image = image();
    let mut stream = Vec::new();
    let sent = send_as(SMALL, parcel(&image, &greeting(&image)), &mut stream, Peer::None, &mut |_| ())
        .expect("sent");
    let read = |stream: &[u8], target: &mut Image| -> Result<[u8; 32], Failure> {
        let mut line = stream;
        let root = receive_as(SMALL, &mut line, None)?.accept(target, None, &mut |_| ())?.root;
        Ok(root)
    };
    let mut target = empty(&image);
    assert_eq!(read(&stream, &mut target).expect("read"), sent.root);
    assert_eq!(target, image);
    assert_eq!(read(&stream, &mut target).expect("again, over itself"), sent.root);
    for length in 0..stream.len() {
        let mut target = empty(&image);
        assert!(read(&stream[..length], &mut target).is_err(), "cut after {length}");
    }
    for at in 0..stream.len() {
        let mut other = stream.clone();
        other[at] ^= 0x41;
        // Another size than the target's is an error of the target.
        let mut target = empty(&image);
        assert!(read(&other, &mut target).is_err(), "byte {at}");
    }
}

/// The greeting of a sender.
fn begin(size: u64, name: &str) -> Vec<u8> {
    let mut bytes = b"homed-carry\x02".to_vec();
    bytes.extend(size.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
    bytes.extend(name.as_bytes());
    bytes.extend([0; 2]);
    bytes
}

#[test]
fn a_hostile_stream_takes_nothing_and_ends() {
    let with = |mut begin: Vec<u8>, rest: &[u8]| {
        begin.extend(rest);
        begin
    };
    let hostile = [
        Vec::new(),
        b"SSH-2.0-OpenSSH".to_vec(),
        begin(0, "alice"),
        begin(u64::MAX, "alice"),
        begin(LARGEST + 1, "alice"),
        begin(64, &"a".repeat(600)),
        // More content than there is, and what is no UUID: too long, or not in its letters.
        with(
            b"homed-carry\x02".to_vec(),
            &[8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, b'a', 0, 0],
        ),
        with(begin(64, "a")[..31].to_vec(), &[b"\xff\xff".as_slice(), &[b'a'; 600]].concat()),
        with(begin(64, "a")[..31].to_vec(), b"\x02\0\x1b["),
        // Groups that are not there, hashes without end, blocks nobody asked for, an end at once.
        with(begin(64, "a"), &[b'Z', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        with(begin(64, "a"), &[b'Z', 0, 0, 0, 0, 0, 0, 0, 0]),
        with(begin(64, "a"), &[b'B', 0xff, 0, 0, 0, 0, 0, 0, 0]),
        with(begin(64, "a"), &[b"E".as_slice(), &[0; 32]].concat()),
        with(begin(64, "a"), &[b"H".as_slice(), &[7; 128], b"H", &[7; 128], b"H", &[7; 128]].concat()),
        with(begin(64, "a"), &[b"H".as_slice(), &[7; 128], b"B", &[0xff; 8]].concat()),
        with(begin(64, "a"), b"N\xff\xff"),
        with(begin(64, "a"), b"?"),
    ];
    for stream in hostile {
        let (mut line, mut answers) = (stream.as_slice(), Vec::new());
        let mut target = Image(vec![0; 64]);
        let ended = receive_as(SMALL, &mut line, Some(&mut answers))
            .and_then(|offer| offer.accept(&mut target, None, &mut |_| ()).map(|_| ()));
        assert!(ended.is_err(), "{stream:?}");
        assert_eq!(target, Image(vec![0; 64]), "{stream:?}");
    }
    // More hashes ahead than any sender gives are not kept.
    let mut flood = begin(SMALL.group() * 1000, "a");
    (0..1000).for_each(|_| flood.extend([b"H".as_slice(), &[7; 128]].concat()));
    let (mut line, mut answers) = (flood.as_slice(), Vec::new());
    let mut target = Image(vec![0; usize::try_from(SMALL.group() * 1000).expect("small")]);
    let offer = receive_as(SMALL, &mut line, Some(&mut answers)).expect("greeted");
    assert!(matches!(offer.accept(&mut target, None, &mut |_| ()), Err(Failure::Broken(_))));
    assert!(answers.len() < 400, "{}", answers.len());
}

#[test]
fn a_block_that_is_left_out_is_missed_although_all_hashes_are_right() {
    // One group of four blocks, none of them zeros; hashes and root are those of the whole image.
    let image = Image((1..=32).collect());
    let mut whole = Vec::new();
    send_as(SMALL, parcel(&image, &greeting(&image)), &mut whole, Peer::None, &mut |_| ()).expect("sent");
    let blocks = whole.iter().position(|byte| *byte == b'B').expect("there");
    let blocks = (blocks..whole.len())
        .rev()
        .find(|at| whole[*at..].starts_with(b"B\x0f\0\0\0\0\0\0\0"))
        .expect("there");
    for left_out in 0..4 {
        let mut stream = whole.clone();
        stream[blocks + 1] ^= 1 << left_out;
        stream.drain(blocks + 9 + left_out * 8..blocks + 9 + left_out * 8 + 8);
        for asks in [false, true] {
            let (mut line, mut answers, mut target) = (stream.as_slice(), Vec::new(), empty(&image));
            let answers: Option<&mut dyn Write> = if asks { Some(&mut answers) } else { None };
            let offer = receive_as(SMALL, &mut line, answers).expect("greeted");
            let ended = offer.accept(&mut target, None, &mut |_| ());
            assert!(matches!(ended, Err(Failure::Broken(_))), "block {left_out}, asks: {asks}");
        }
    }
    // Nor does one come that was not asked for, where somebody can be asked.
    let (mut line, mut answers, mut target) = (whole.as_slice(), Vec::new(), image.clone());
    let offer = receive_as(SMALL, &mut line, Some(&mut answers)).expect("greeted");
    assert!(matches!(offer.accept(&mut target, None, &mut |_| ()), Err(Failure::Broken(_))));
}

#[test]
fn a_refusal_is_heard_in_words_that_move_no_cursor() {
    let image = image();
    let mut answers = Vec::new();
    wire::refuse(&mut answers, "there is \x1b[2Jno room").expect("written");
    let sent = send_as(
        SMALL,
        parcel(&image, &greeting(&image)),
        &mut Vec::new(),
        Peer::Line(&mut answers.as_slice()),
        &mut |_| (),
    );
    assert!(matches!(sent, Err(Failure::Refused(why)) if why == "there is  [2Jno room"));
}

#[test]
fn progress_goes_up_to_the_end() {
    let image = image();
    let seen = RefCell::new(Vec::new());
    let mut watch = |progress: Progress| seen.borrow_mut().push(progress.done);
    send_as(SMALL, parcel(&image, &greeting(&image)), &mut Vec::new(), Peer::None, &mut watch).expect("sent");
    let seen = seen.into_inner();
    assert!(seen.is_sorted());
    assert_eq!(seen.last(), Some(&(image.0.len() as u64)));
}

proptest::proptest! {
    /// Whatever image, whatever is there already, wherever it breaks: the talk after that makes it whole.
    #[test]
    fn any_image_over_anything_that_is_there(
        bytes in proptest::collection::vec(proptest::sample::select(vec![0u8, 0, 0, 1, 9]), 1..600),
        there in proptest::collection::vec(proptest::sample::select(vec![0u8, 0, 1, 9]), 600),
        left in 0usize..2000,
    ) {
        let image = Image(bytes);
        let mut target = Image(there[..image.0.len()].to_vec());
        let older = Image(there);
        let _ = talk(&image, &mut target, Some(&older), left);
        let (_, received) = talk(&image, &mut target, Some(&older), usize::MAX);
        proptest::prop_assert!(received.is_ok());
        proptest::prop_assert_eq!(target, image);
    }
}

/// Reads from what is written, for the whole shape.
#[test]
fn the_true_shape_carries_an_image_too() {
    let mut bytes = vec![0; 3 << 20];
    bytes[1 << 20..][..50_000].fill(3);
    bytes[(3 << 20) - 5..].fill(4);
    let image = Image(bytes);
    let mut stream = Vec::new();
    let greeting = greeting(&image);
    send(parcel(&image, &greeting), &mut stream, Peer::None, &mut |_| ()).expect("sent");
    assert!(stream.len() < 100_000, "holes are left out: {}", stream.len());
    let mut target = empty(&image);
    let mut line: &mut dyn Read = &mut stream.as_slice();
    let received =
        receive(&mut line, None).expect("greeted").accept(&mut target, None, &mut |_| ()).expect("whole");
    received.done().expect("nobody to tell");
    assert_eq!(target, image);
}
