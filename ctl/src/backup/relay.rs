//! What a program prints that somebody else can have print anything, shown on root's terminal: through pipes, so that it has no
//! terminal to read root's keys from, and without the characters that a terminal obeys.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Bytes of a line that are shown as one.
const LONGEST_LINE: u64 = 1 << 16;
/// How long the rest is waited for when the program has ended: what it has left running may have its pipes.
const REST: Duration = Duration::from_secs(2);

/// What shows one pipe, in a thread of its own.
pub struct Relay(Receiver<()>);

impl Relay {
    /// Begins to show what comes.
    pub fn begin(pipe: OwnedFd, to: impl Write + Send + 'static) -> Self {
        let (done, waits) = channel();
        std::thread::spawn(move || {
            show(File::from(pipe), to);
            // Nobody may wait any more.
            let _ = done.send(());
        });
        Self(waits)
    }

    /// Waits for the rest.
    pub fn end(self) {
        // What is late is not shown.
        let _ = self.0.recv_timeout(REST);
    }
}

fn show(pipe: impl Read, mut to: impl Write) {
    let (mut pipe, mut line) = (BufReader::new(pipe), Vec::new());
    while pipe.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        // A reader that went away is no error.
        let _ = to.write_all(obeyed_by_none(&line).as_bytes()).and_then(|()| to.flush());
        line.clear();
    }
}

fn obeyed_by_none(line: &[u8]) -> String {
    let is_shown = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t');
    let text = String::from_utf8_lossy(line);
    text.chars().map(|letter| if is_shown(letter) { letter } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        let long = "x".repeat(200_000);
        let mut shown = Vec::new();
        show(format!("one\n\x1b]0;root\x07\x1b[2Jtwo\r\u{9b}3m\n{long}\nlast").as_bytes(), &mut shown);
        let shown = String::from_utf8(shown).expect("text");
        assert!(!shown.contains(['\x1b', '\x07', '\r', '\u{9b}']), "{shown:?}");
        assert!(
            shown.starts_with("one\n") && shown.contains("two") && shown.ends_with(&format!("{long}\nlast"))
        );
    }

    #[test]
    fn whoever_has_the_pipe_still_is_not_waited_for() {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let relay = Relay::begin(reader, std::io::sink());
        relay.end();
        drop(writer);
    }
}
