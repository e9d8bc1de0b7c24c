//! What strangers send, and who waits for it.

use super::*;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn send(socket: &UnixStream, bytes: &[u8], files: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(files)));
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty());
    assert_eq!(sent.expect("sent"), bytes.len());
}

fn whole(pipe: OwnedFd) -> Result<Vec<u8>, Unread> {
    let (mut content, mut all) = (Content::new(pipe, PATIENCE), Vec::new());
    loop {
        match content.more()? {
            none if none.is_empty() => return Ok(all),
            more => all.extend(more),
        }
    }
}

fn file(bytes: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().expect("made");
    file.write_all(bytes).expect("written");
    file
}

/// A socket whose close waits that long, as somebody's who wants to hang whoever closes it.
fn lingers(seconds: u64) -> OwnedFd {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let near = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let far = listener.accept().expect("accepted").0;
    rustix::net::sockopt::set_socket_linger(&near, Some(Duration::from_secs(seconds))).expect("set");
    near.set_nonblocking(true).expect("set");
    while (&near).write(&[0; 1 << 16]).is_ok() {}
    // Nobody reads at the other end, for ever.
    std::mem::forget(far);
    near.into()
}

#[test]
fn it_is_seen_whether_files_are_there_and_nothing_is_taken() {
    let (near, far) = UnixStream::pair().expect("made");
    assert!(look(&far, &mut [0; 8]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    (&near).write_all(b"abc").expect("sent");
    for _ in 0..2 {
        assert_eq!(look(&far, &mut [0; 8]).expect("seen"), Waiting { length: 3, files: false });
    }
    io::Read::read_exact(&mut &far, &mut [0; 3]).expect("read");
    send(&near, b"de", &[near.as_fd()]);
    for _ in 0..2 {
        assert_eq!(look(&far, &mut [0; 8]).expect("seen"), Waiting { length: 2, files: true });
    }
}

#[tokio::test]
async fn contents_come_from_the_beginning_and_say_how_they_ended() {
    let (near, far) = UnixStream::pair().expect("made");
    let picture: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let (empty, long) = (file(b""), tempfile::tempfile().expect("made"));
    long.set_len(records::blobs::MAX_TOTAL + 1).expect("set");
    let mut read = file(&picture);
    read.seek(SeekFrom::End(0)).expect("sought");
    let pipe = io::pipe().expect("made");
    let files = [read.as_fd(), empty.as_fd(), pipe.0.as_fd(), near.as_fd(), long.as_fd()];
    send(&near, b"call", &files);
    let taken = take(far.as_fd(), 4, Wanted::Contents, (None, ())).await.expect("taken");
    assert_eq!((taken.bytes.as_slice(), taken.files.len()), (&b"call"[..], 5));
    // Whoever reads them in another order waits for nobody.
    let mut ended: Vec<_> = taken.files.into_iter().rev().map(whole).collect();
    ended.reverse();
    assert_eq!(ended[0].as_ref().expect("whole"), &picture);
    assert_eq!(ended[1], Ok(Vec::new()));
    assert_eq!(ended[2..], [Err(Unread::NotAFile), Err(Unread::NotAFile), Err(Unread::TooLong)]);
}

#[tokio::test]
async fn memory_and_pipes_are_handed_on_and_nothing_else() {
    let (near, far) = UnixStream::pair().expect("made");
    let memory = handoff::offer_plain(&records::Secret::from_text("geheim".into())).expect("made");
    let secret = handoff::offer(&records::Secret::from_text("geheim".into())).expect("made");
    let (reader, mut writer) = io::pipe().expect("made");
    let picture = file(b"x");
    let files = [memory.as_fd(), secret.as_fd(), reader.as_fd(), picture.as_fd()];
    send(&near, b"answer", &files);
    let taken = take(far.as_fd(), 6, Wanted::Answers, (None, ())).await.expect("taken");
    assert!(taken.foreign);
    let [plain, secret, pipe, other] = <[OwnedFd; 4]>::try_from(taken.files).expect("all");
    for memory in [plain, secret] {
        let memory = handoff::Memory::recognise(memory).expect("memory");
        assert_eq!(memory.take(6).expect("read").open(), b"geheim");
    }
    writer.write_all(b"y").expect("written");
    let mut got = [0; 1];
    io::Read::read_exact(&mut std::fs::File::from(pipe), &mut got).expect("read");
    assert_eq!((got, whole(other)), (*b"y", Err(Unread::Refused)));
}

#[tokio::test]
async fn a_file_whose_close_waits_hangs_nobody_but_its_place() {
    let (near, far) = UnixStream::pair().expect("made");
    let place = Arc::new(());
    for (wanted, said) in [(Wanted::Memory, Unread::Refused), (Wanted::Contents, Unread::NotAFile)] {
        let hangs = lingers(3600);
        send(&near, b"call", &[hangs.as_fd()]);
        drop(hangs);
        let taken = take(far.as_fd(), 4, wanted, (None, place.clone())).await.expect("taken");
        let [file] = <[OwnedFd; 1]>::try_from(taken.files).expect("one");
        assert_eq!(whole(file), Err(said));
    }
    assert_eq!(Arc::strong_count(&place), 3, "each waits, apart");
}

#[tokio::test]
async fn a_cellar_takes_what_has_no_place_and_is_full_at_some_time() {
    let (near, far) = UnixStream::pair().expect("made");
    let cellar = Cellar::under(far.as_fd()).expect("begun");
    let (picture, hangs) = (file(b"x"), lingers(3600));
    let mut taken = 0;
    while !cellar.is_full() {
        send(&near, b"signal", &[picture.as_fd(), hangs.as_fd()]);
        let (bytes, files) = cellar.take(6).await.expect("taken");
        assert_eq!((bytes.as_slice(), files.len()), (&b"signal"[..], 2));
        for file in files {
            assert_eq!(whole(file), Err(Unread::Refused));
        }
        taken += 2;
        // A file whose close waits is the last from here on: nothing after it is closed.
        if taken == 2 {
            let last = lingers(3600);
            send(&near, b"signal", &[last.as_fd()]);
            drop(last);
            cellar.take(6).await.expect("taken");
        }
    }
    assert!((1990..2200).contains(&taken), "{taken}");
}

#[tokio::test]
async fn a_byte_out_of_band_is_seen_with_its_file() {
    let (near, far) = UnixStream::pair().expect("made");
    rustix::net::sockopt::set_socket_oobinline(&far, true).expect("set");
    let picture = file(b"x");
    let files = [picture.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    let sent = rustix::net::sendmsg(&near, &[IoSlice::new(b"o")], &mut control, SendFlags::OOB);
    // A kernel without it has nothing to see.
    if sent.is_ok() {
        (&near).write_all(b"x").expect("sent");
        assert!(look(&far, &mut [0; 8]).expect("seen").files);
    }
}

#[tokio::test]
async fn a_socket_with_files_in_it_is_closed_apart_and_one_without_at_once() {
    let place = Arc::new(());
    let (near, far) = UnixStream::pair().expect("made");
    let hangs = lingers(3600);
    send(&near, b"call", &[hangs.as_fd()]);
    drop(hangs);
    let_go(far.into(), Some(place.clone()));
    assert_eq!(Arc::strong_count(&place), 2);
    for text in [&b""[..], b"half a word"] {
        let (near, far) = UnixStream::pair().expect("made");
        (&near).write_all(text).expect("sent");
        let_go(far.into(), Some(place.clone()));
        assert_eq!(Arc::strong_count(&place), 2);
    }
    // Without a place it lies in a cellar.
    for _ in 0..3 {
        let (near, far) = UnixStream::pair().expect("made");
        let hangs = lingers(3600);
        send(&near, b"call", &[hangs.as_fd()]);
        drop(hangs);
        let_go::<()>(far.into(), None);
    }
}
