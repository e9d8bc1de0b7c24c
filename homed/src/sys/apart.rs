//! A thread with files of its own, for what may wait for a disk or a server for ever.
//!
//! Nobody can end a thread that waits in such a system call, and a process that is killed keeps all of its files open until its
//! last thread ends: its sockets, its name on the bus and its lock would stay with a dead daemon, and no other could take its
//! place. A thread that has let go of them keeps none.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

type Act = Box<dyn FnOnce() + Send>;

thread_local! {
    /// The thread apart of this thread. It ends with this one: who has thousands of questions begins no thread for each.
    static APART: RefCell<Option<mpsc::Sender<Act>>> = const { RefCell::new(None) };
}

/// Does something on a thread that has no files but the standard ones open, and waits for what comes of it. It may open
/// files and has to close them; none of the process's may be used there, those of a library included, and it must not log.
/// Its own files are in `/proc/thread-self`; `/proc/self` shows those of the process.
pub fn apart<T: Send + 'static>(act: impl Fn() -> T + Send + Sync + 'static) -> T {
    let act = Arc::new(act);
    let (tell, heard) = mpsc::sync_channel(1);
    let theirs = act.clone();
    // Nobody listens any more is just as good.
    hand_over(Box::new(move || drop(tell.send(theirs()))));
    heard.recv().unwrap_or_else(|_| act())
}

/// To the thread that is there, or to a new one. What neither takes is dropped, and whoever waits for it hears so.
fn hand_over(act: Act) {
    APART.with_borrow_mut(|there| {
        let left = match there.as_ref() {
            Some(there) => there.send(act).err().map(|refused| refused.0),
            None => Some(act),
        };
        let Some(act) = left else { return };
        *there = begin().ok();
        if let Some(there) = there {
            let _ = there.send(act);
        }
    });
}

fn begin() -> io::Result<mpsc::Sender<Act>> {
    let (send, received) = mpsc::channel::<Act>();
    let work = move || {
        // Where the kernel cannot, all stays open: only who is killed meanwhile leaves more than it should.
        let _ = let_go_of_files();
        // Whoever waits for one that breaks hears so, and the next is served.
        received.into_iter().for_each(|act| drop(catch_unwind(AssertUnwindSafe(act))));
    };
    std::thread::Builder::new().name("apart".into()).spawn(work).map(|_| send)
}

/// The thread has a table of files of its own from now on, without any but the standard three.
fn let_go_of_files() -> io::Result<()> {
    let (first, last, flags) = (3u32, u32::MAX, libc::CLOSE_RANGE_UNSHARE);
    // SAFETY: what is closed are numbers in a table that this call makes for this thread alone. Whoever owns files of the
    // process is on another thread, where they stay open, and nothing that runs here afterwards has one of them.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How much memory a thread that waits for one file has for its calls, in bytes.
const STACK: usize = 64 << 10;

/// Does something on a thread of its own, on which these files alone are open, and the standard three. They are `act`'s there,
/// and closed here when this returns: what `act` receives, and closes for ever, is nobody else's. It must not log.
///
/// # Errors
///
/// There is no thread to be had, or it cannot have files of its own: `act` is not done, and the files are given back.
pub fn with(files: Vec<OwnedFd>, act: impl FnOnce(Vec<OwnedFd>) + Send + 'static) -> Result<(), NotBegun> {
    let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let (tell, ready) = mpsc::sync_channel(1);
    let (go, gone) = mpsc::sync_channel::<Infallible>(1);
    let work = move || {
        let theirs = keep_only(&numbers);
        // Whoever has asked waits for it.
        let _ = tell.send(theirs.as_ref().map(drop).map_err(|error| error.kind()));
        // Whoever closes a file last waits for it: that is to be this thread.
        let _ = gone.recv();
        if let Ok(theirs) = theirs {
            act(theirs);
        }
    };
    let begun = std::thread::Builder::new().name("apart".into()).stack_size(STACK).spawn(work);
    // The files of the process have to stay until the thread has copies of them.
    let begun = begun.and_then(|_| Ok(ready.recv().unwrap_or(Err(io::ErrorKind::BrokenPipe))?));
    match begun {
        Ok(()) => {
            drop((files, go));
            Ok(())
        }
        Err(error) => Err(NotBegun { error, files }),
    }
}

/// A thread that was not begun.
#[derive(Debug)]
pub struct NotBegun {
    error: io::Error,
    /// What it would have had.
    pub files: Vec<OwnedFd>,
}

impl From<NotBegun> for io::Error {
    fn from(not: NotBegun) -> Self {
        not.error
    }
}

/// The thread has a table of files of its own from now on, with these in it, and the standard three.
fn keep_only(numbers: &[RawFd]) -> io::Result<Vec<OwnedFd>> {
    // SAFETY: the thread's table is a copy from now on: nothing that others own changes.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut kept: Vec<u32> = numbers.iter().filter_map(|number| u32::try_from(*number).ok()).collect();
    kept.sort_unstable();
    let mut first = 3u32;
    for number in kept.into_iter().chain([u32::MAX]) {
        if first < number {
            // SAFETY: what is closed are numbers in this thread's own table, none of which anything here owns.
            if unsafe { libc::syscall(libc::SYS_close_range, first, number - 1, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = first.max(number.saturating_add(1));
    }
    // SAFETY: they are open in this thread's own table, where nothing owns them yet.
    Ok(numbers.iter().map(|number| unsafe { OwnedFd::from_raw_fd(*number) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn nothing_of_the_process_is_open_there_and_all_of_it_afterwards() {
        let mut file = std::fs::File::open("/proc/self/stat").expect("a file");
        let number = file.as_raw_fd();
        let is_open = move || std::fs::read_link(format!("/proc/thread-self/fd/{number}")).is_ok();
        assert!(is_open());
        assert!(!apart(is_open));
        assert!(is_open());
        assert!(file.read(&mut [0; 8]).is_ok_and(|read| read == 8));
    }

    #[test]
    fn one_thread_serves_a_thread_as_long_as_that_lives_whatever_breaks() {
        let id = || std::thread::current().id();
        let first = apart(id);
        assert!(first == apart(id) && first != id());
        let other = std::thread::spawn(move || apart(id)).join().expect("no panic");
        assert_ne!(first, other);

        let breaks = move || if id() == first { panic!("on purpose") } else { 7 };
        assert_eq!(apart(breaks), 7, "done by who waits");
        assert_eq!(apart(id), first);
    }

    #[test]
    fn a_thread_has_the_files_it_was_given_and_closes_them_alone() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let other = std::fs::File::open("/proc/self/stat").expect("a file");
        let (own, number) = (writer.as_raw_fd(), other.as_raw_fd());
        let (tell, heard) = mpsc::channel();
        with(vec![writer.into()], move |files| {
            let open = std::fs::read_dir("/proc/thread-self/fd").expect("listed").flatten();
            let open = open.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
            // The folder that is listed is open, too.
            let mut open: Vec<RawFd> = open.filter(|number| *number > 2).collect();
            open.retain(|number| std::fs::read_link(format!("/proc/thread-self/fd/{number}")).is_ok());
            tell.send((open, files[0].as_raw_fd())).expect("heard");
            let mut pipe = std::fs::File::from(files.into_iter().next().expect("given"));
            std::io::Write::write_all(&mut pipe, b"done").expect("written");
        })
        .expect("begun");
        let mut said = String::new();
        // It ends: nobody else has the writing end.
        reader.read_to_string(&mut said).expect("read");
        assert_eq!(said, "done");
        let (open, given) = heard.recv().expect("told");
        assert_eq!((open, given), (vec![own], own), "and not {number}");
        drop(other);
    }
}
