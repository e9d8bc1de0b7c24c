//! Security keys (FIDO2) of the machine: programs at sockets, which libfido2 takes for devices in the package for tests.

use crate::Ours;
use anyhow::{Result, ensure};
use machine::Output;
use std::path::Path;

/// Where they are plugged in, and where they remember.
const SOCKETS: &str = "/run/homed/test-fido2";
/// (In memory, and not on disk: what is deleted there is free memory.)
const MEMORIES: &str = "/run/keys";

/// How many devices of the kernel's there are that could be keys.
const DEVICES: &str = "ls /dev | grep -c ^hidraw";

/// Where a key is plugged in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    /// At a socket, which the package for tests alone knows.
    Socket,
    /// As a device of the kernel's, which libfido2 finds by itself.
    Usb,
}

/// A security key.
pub struct SecurityKey<'a> {
    machine: &'a Ours,
    name: &'static str,
    port: Port,
}

impl<'a> SecurityKey<'a> {
    /// A new one, with a PIN or without, plugged in. `program` is the test's `CARGO_BIN_EXE_softkey`.
    pub fn new(machine: &'a Ours, program: &str, name: &'static str, pin: Option<&str>) -> Result<Self> {
        Self::at(Port::Socket, machine, (program, name), pin)
    }

    /// The same as a device of the kernel's (of a machine with Debian's kernel).
    pub fn on_usb(machine: &'a Ours, program: &str, name: &'static str, pin: Option<&str>) -> Result<Self> {
        machine.check("modprobe uhid")?;
        Self::at(Port::Usb, machine, (program, name), pin)
    }

    fn at(
        port: Port,
        machine: &'a Ours,
        (program, name): (&str, &'static str),
        pin: Option<&str>,
    ) -> Result<Self> {
        if machine.run("test -x /root/softkey")?.status != 0 {
            machine.copy_in(Path::new(program), "/root/softkey")?;
        }
        let key = Self { machine, name, port };
        machine.check(&format!("mkdir -p {SOCKETS} {MEMORIES}/{name}"))?;
        if let Some(pin) = pin {
            key.set("pin", pin)?;
        }
        key.plug_in()?;
        Ok(key)
    }

    /// Plugs it in.
    pub fn plug_in(&self) -> Result<()> {
        let name = self.name;
        let plugged_in = match self.port {
            Port::Socket => format!("setsid /root/softkey {SOCKETS}/{name} {MEMORIES}/{name} </dev/null >/dev/null 2>&1 &
             echo $! > {MEMORIES}/{name}/pid; until [ -S {SOCKETS}/{name} ]; do sleep 0.05; done"),
            Port::Usb => format!("before=$({DEVICES}); setsid /root/softkey /dev/uhid {MEMORIES}/{name} </dev/null >/run/softkey.log 2>&1 &
             echo $! > {MEMORIES}/{name}/pid; until [ $({DEVICES}) -gt $before ]; do sleep 0.05; done; udevadm settle"),
        };
        self.machine.check(&plugged_in).map(drop)
    }

    /// Pulls it out.
    pub fn pull_out(&self) -> Result<()> {
        let name = self.name;
        let gone = match self.port {
            Port::Socket => format!("rm {SOCKETS}/{name}"),
            Port::Usb => format!("until [ $({DEVICES}) -lt $before ]; do sleep 0.05; done; udevadm settle"),
        };
        let script = format!(
            "before=$({DEVICES}); pid=$(cat {MEMORIES}/{name}/pid); kill $pid; tail --pid=$pid -f /dev/null; {gone}"
        );
        self.machine.check(&script).map(drop)
    }

    /// Sets what it is or what its user does: see `softkey`.
    pub fn set(&self, what: &str, value: &str) -> Result<()> {
        self.machine.write_file(&format!("{MEMORIES}/{}/{what}", self.name), value)
    }

    /// Takes that back.
    pub fn unset(&self, what: &str) -> Result<()> {
        self.machine.check(&format!("rm {MEMORIES}/{}/{what}", self.name)).map(drop)
    }

    /// Takes it out of the machine, with all that it remembers, which is in the folder then.
    pub fn take_away(&self, folder: &Path) -> Result<()> {
        self.pull_out()?;
        self.machine.copy_out(&format!("{MEMORIES}/{}", self.name), folder)?;
        self.machine.check(&format!("rm -r {MEMORIES}/{}", self.name)).map(drop)
    }

    /// Brings it back, and plugs it in.
    pub fn bring_back(&self, folder: &Path) -> Result<()> {
        self.machine.copy_in(folder, &format!("{MEMORIES}/{}", self.name))?;
        self.plug_in()
    }

    /// Runs homectl with that PIN, and returns when the key waits for the touch, which does not come: what homectl says goes to
    /// /run/said.
    pub fn waits_for_touch(&self, words: &str, pin: &str) -> Result<()> {
        let asked = format!("{MEMORIES}/{}/asked", self.name);
        self.set("held", "")?;
        let script = format!(
            "rm -f {asked}; export PIN='{pin}'; setsid homectl {words} </dev/null >/run/said 2>&1 &
             pid=$!; echo $pid >/run/waits
             until [ -e {asked} ]; do kill -0 $pid || {{ cat /run/said >&2; exit 1; }}; sleep 0.05; done"
        );
        self.machine.check(&script).map(drop)
    }

    /// How often it was touched since this was asked the last time.
    pub fn touches(&self) -> Result<usize> {
        let file = format!("{MEMORIES}/{}/touches", self.name);
        Ok(self.machine.check(&format!("cat {file} 2>/dev/null; rm -f {file}"))?.lines().count())
    }

    /// How often a wrong PIN may be given still.
    pub fn tries(&self) -> Result<usize> {
        let file = format!("{MEMORIES}/{}/tries", self.name);
        Ok(self.machine.check(&format!("cat {file} 2>/dev/null || echo 8"))?.trim().parse()?)
    }
}

/// Runs homectl with a PIN and a password in its environment; an empty one is not there.
pub fn homectl(machine: &Ours, words: &str, pin: &str, password: &str) -> Result<Output> {
    machine.homectl_given(&[("PIN", pin), ("PASSWORD", password)], words)
}

/// The same, and it must succeed.
pub fn done(machine: &Ours, words: &str, pin: &str, password: &str) -> Result<String> {
    let output = homectl(machine, words, pin, password)?;
    ensure!(output.status == 0, "homectl {words}: {}\n{}", output.stderr, machine.log());
    Ok(output.stdout)
}

/// The same, and it must refuse with these words.
pub fn refused(machine: &Ours, words: &str, (pin, password): (&str, &str), said: &str) -> Result<()> {
    let output = homectl(machine, words, pin, password)?;
    ensure!(output.status != 0 && output.status < 128, "homectl {words}: {output:?}");
    ensure!(output.stderr.contains(said), "homectl {words} said {:?}, and not {said:?}", output.stderr);
    Ok(())
}
