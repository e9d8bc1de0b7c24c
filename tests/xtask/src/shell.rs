//! `cargo xtask shell`: a machine to look around in. It and its disk are gone when you leave it.

use std::io::{Write, stdin, stdout};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use machine::{Builder, Console, Hardware, Image, Init, Machine};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::prepare;

/// Ctrl-], as in telnet.
const ESCAPE: u8 = 0x1d;

/// How often, in milliseconds, each of the two sides looks whether the other has left.
const GLANCE: u8 = 100;

pub fn run(words: &[String]) -> Result<()> {
    prepare::machine()?;
    if words.iter().any(|word| word == "--screen") {
        prepare::screen()?;
    }
    let (builder, init) = parse(words)?;
    eprintln!("starting the machine; leave it with Ctrl-]; root's password is `machine`");
    let folder = std::env::current_dir()?;
    let start = Instant::now();
    let machine = builder.init(init).shared(&folder).start()?;
    eprintln!("started in {:.1} s", start.elapsed().as_secs_f32());
    match machine.screen() {
        Ok(screen) => eprintln!("look at its screen with a VNC viewer: {}", screen.address()?),
        Err(_) => eprintln!("its /mnt is {}", folder.display()),
    }
    if init == Init::Small {
        machine.check("setsid --fork --ctty bash --login <>/dev/ttyS0 >&0 2>&0")?;
    }
    let _terminal = RawTerminal::new()?;
    connect(machine.console())
}

fn parse(words: &[String]) -> Result<(Builder, Init)> {
    let (mut builder, mut init) = (Machine::builder(), Init::Small);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match (word, (word == "--image").then(|| words.next()).flatten()) {
            ("--full", _) => init = Init::Full,
            ("--screen", _) => (builder, init) = (builder.hardware(Hardware::Screen), Init::Full),
            ("--image", Some("base")) => builder = builder.image(Image::Base),
            ("--image", Some("ours")) => builder = builder.image(Image::Ours),
            ("--image", Some("desktop")) => builder = builder.image(Image::Desktop),
            ("--image", Some("peer")) => builder = builder.image(Image::Peer),
            _ => bail!("usage: cargo xtask shell [--full|--screen] [--image base|ours|peer|desktop]"),
        }
    }
    Ok((builder, init))
}

/// Types what is typed here and prints what the machine says, until one of the two has had enough.
fn connect(console: &Console) -> Result<()> {
    let left = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let printer = scope.spawn(|| print_along(console, &left));
        let result = type_along(console, || printer.is_finished());
        left.store(true, Ordering::Relaxed);
        result
    })
}

fn type_along(console: &Console, ended: impl Fn() -> bool) -> Result<()> {
    let mut buffer = [0; 256];
    while !ended() {
        let input = stdin();
        let mut waited = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waited, GLANCE)? == 0 {
            continue;
        }
        let count = nix::unistd::read(input.as_fd(), &mut buffer)?;
        let typed = &buffer[..count];
        if count == 0 || typed.contains(&ESCAPE) {
            break;
        }
        console.send_raw(&String::from_utf8_lossy(typed))?;
    }
    Ok(())
}

fn print_along(console: &Console, left: &AtomicBool) {
    let mut position = 0;
    while !left.load(Ordering::Relaxed) {
        let Some(text) = console.after(position, Duration::from_millis(GLANCE.into())) else {
            return;
        };
        position += text.len();
        // Who does not want to read what the machine says can still type.
        let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
    }
}

/// Our terminal passes every key on while this lives.
struct RawTerminal {
    /// `None` if standard input is no terminal.
    before: Option<Termios>,
}

impl RawTerminal {
    fn new() -> Result<Self> {
        let Ok(before) = tcgetattr(stdin()) else {
            return Ok(Self { before: None });
        };
        let mut modes = before.clone();
        cfmakeraw(&mut modes);
        tcsetattr(stdin(), SetArg::TCSANOW, &modes).context("cannot set the terminal")?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // It was set a moment ago; if it is gone there is nothing to restore.
            let _ = tcsetattr(stdin(), SetArg::TCSANOW, before);
        }
    }
}
