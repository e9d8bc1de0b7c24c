//! Sessions of a desktop, locked: they are not seen and get no key. Under X with a server that is root's, in a service of its
//! own, as display managers have it; with one that the user has started herself, in her own session; and under a Wayland compositor
//! that a greeter has started.
//!
//! Not in the usual run, which has no desktop on its disk: `cargo test -p homed-tests --test desktop`.

#[path = "desktop/startx.rs"]
mod startx;
#[path = "desktop/wayland.rs"]
mod wayland;
#[path = "desktop/x.rs"]
mod x;

use anyhow::{Result, ensure};
use homed_tests::Ours;
use homed_tests::green::{green, until_green};
use machine::{Hardware, Image, Init, Machine, Screen};
use std::time::Duration;

/// How often somebody goes there.
const TIMES: usize = 10;
/// How long a session may take to start on a processor that is computed.
const BOUND: Duration = Duration::from_secs(400);

/// alice's session, all green, whose shell has the keyboard.
struct Session<'a> {
    machine: &'a Ours,
    screen: &'a Screen<'a>,
    /// Its virtual terminal.
    at: &'a str,
    /// What is pressed to get there.
    keys: &'a str,
}

/// A machine with alice's home, open.
fn machine() -> Result<Ours> {
    let settings =
        Machine::builder().image(Image::Desktop).init(Init::Full).hardware(Hardware::Screen).memory(1024);
    let machine = Ours(settings.start()?);
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    Ok(machine)
}

impl Session<'_> {
    /// Locked, it is not seen by who goes there, and of what is typed fast it gets nothing; unlocked, it is as before.
    fn is_out_of_reach(&self) -> Result<()> {
        let (machine, screen) = (self.machine, self.screen);
        self.is_seen()?;
        self.does("touch /tmp/there", "-e /tmp/there")?;

        machine.check("homectl lock alice")?;
        println!("{}", machine.check("cat /run/homed/hushed/alice; ps -e -o pid,stat,args | tail -n 40")?);
        let ours = self.await_prompt()?;
        for time in 0..TIMES {
            self.await_prompt()?;
            screen.hurry(self.keys)?;
            let early = screen.look()?;
            "zqzq".chars().try_for_each(|letter| screen.hurry(&letter.to_string()))?;
            let late = screen.look()?;
            ensure!(green(&early) + green(&late) == 0, "attempt {time}: the session was seen");
        }
        self.await_prompt()?;
        let log = machine.check("journalctl -q -o cat -u homed-prompt")?;
        let noticed = format!("somebody came to {}, where the session of alice is locked", self.at);
        ensure!(log.contains(&noticed), "{log}");
        screen.await_text(&ours, "Password:")?;
        screen.press("ctrl-u")?;
        self.comes_back()
    }

    /// The prompt in front, and where it is.
    fn await_prompt(&self) -> Result<String> {
        let ours = self.screen.await_front(|front| front != self.at)?;
        self.screen.await_text(&ours, "Password:")?;
        Ok(ours)
    }

    /// Unlocked, it is as before, and what was typed meanwhile has not come.
    fn comes_back(&self) -> Result<()> {
        self.screen.write("correcthorse\n")?;
        self.screen.await_front(|front| front == self.at)?;
        self.is_seen()?;
        self.does("history > /tmp/history", "-s /tmp/history")?;
        let history = self.machine.check("cat /tmp/history; rm /tmp/history")?;
        ensure!(history.contains("touch /tmp/there") && !history.contains('z'), "{history}");
        Ok(())
    }

    /// Returns when it is painted.
    fn is_seen(&self) -> Result<()> {
        until_green(self.screen).map_err(|error| match self.machine.check("journalctl -b -n 60") {
            Ok(log) => error.context(log),
            Err(_) => error,
        })
    }

    /// Types it until it has been done: a session has its keyboard a moment after its picture.
    fn does(&self, what: &str, done: &str) -> Result<()> {
        for _ in 0..TIMES {
            self.screen.write(&format!("\n{what}\n"))?;
            let script = format!("for try in $(seq 30); do [ {done} ] && exit 0; sleep 0.1; done; exit 1");
            if self.machine.run(&script)?.status == 0 {
                return Ok(());
            }
        }
        anyhow::bail!("{what} is not done: {}", self.machine.check("journalctl -b -n 40")?)
    }
}
