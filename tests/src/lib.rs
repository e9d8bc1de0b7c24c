//! What the scenarios share: a machine on which our daemon runs, homes that cost next to nothing to open,
//! and the question whether anything is left of a home that was closed.

pub mod aes;
pub mod crowd;
pub mod frames;
pub mod green;
pub mod nasty;
pub mod resizing;
pub mod secrets;
pub mod security_key;
pub mod smart_card;
pub mod tpm;

use std::ops::Deref;

use anyhow::{Result, ensure};
use machine::{Builder, Image, Init, Machine, Output};

/// The options of a home that is small and cheap to open: what is tested is never the key derivation.
pub const CHEAP: &str = "--disk-size=256M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 \
                         --enforce-password-policy=no --rate-limit-burst=1000";

/// Starts the daemon in a small machine, and returns when it answers. What it says goes to /run/homed.log.
pub const START: &str = "\
mkdir -p /run/homed
setsid /usr/lib/homed/homed >>/run/homed.log 2>&1 </dev/null &
echo $! >/run/homed.pid
for try in $(seq 600); do
    busctl --quiet status org.freedesktop.home1 >/dev/null 2>&1 && exit 0
    kill -0 $(cat /run/homed.pid) || break
    sleep 0.05
done
cat /run/homed.log >&2
exit 1";

/// A machine with our package, in which the daemon runs.
pub struct Ours(pub Machine);

impl Deref for Ours {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.0
    }
}

impl Ours {
    /// A small machine: no systemd, no logins.
    pub fn small() -> Result<Self> {
        Self::small_with(Machine::builder())
    }

    /// A small machine with settings of one's own.
    pub fn small_with(settings: Builder) -> Result<Self> {
        Self::on(settings.image(Image::Ours).init(Init::Small).start()?)
    }

    /// The daemon started on a small machine that runs.
    pub fn on(machine: Machine) -> Result<Self> {
        let ours = Self(machine);
        ours.start_daemon()?;
        Ok(ours)
    }

    /// A full machine: systemd starts the daemon, people log in.
    pub fn full() -> Result<Self> {
        Ok(Self(Machine::builder().image(Image::Ours).init(Init::Full).start()?))
    }

    /// Starts the daemon in a small machine.
    pub fn start_daemon(&self) -> Result<()> {
        self.check(START).map(drop)
    }

    /// Ends the daemon in a small machine as a crash would, and returns when it is gone.
    pub fn kill_daemon(&self) -> Result<()> {
        self.check("pid=$(cat /run/homed.pid); kill -KILL $pid; tail --pid=$pid -f /dev/null").map(drop)
    }

    /// What the daemon of a small machine has said.
    pub fn log(&self) -> String {
        self.check("cat /run/homed.log").unwrap_or_default()
    }

    /// A home that is cheap to open, closed.
    pub fn create(&self, user: &str, password: &str) -> Result<()> {
        let done = self.homectl(&format!("create {user} {CHEAP}"), "", password)?;
        ensure!(done.status == 0, "create failed: {}{}\n{}", done.stderr, done.stdout, self.log());
        Ok(())
    }

    /// Runs homectl, with the password and the new password in the environment as the original reads them; an
    /// empty one is not there.
    pub fn homectl(&self, words: &str, password: &str, new: &str) -> Result<Output> {
        self.homectl_given(&[("PASSWORD", password), ("NEWPASSWORD", new)], words)
    }

    /// The same with these variables in the environment; an empty one is not there.
    pub fn homectl_given(&self, variables: &[(&str, &str)], words: &str) -> Result<Output> {
        let given = variables.iter().filter(|(_, value)| !value.is_empty());
        let script: String = given.map(|(name, value)| format!("export {name}='{value}'\n")).collect();
        // Nobody is there to be asked: neither at a terminal nor by an agent, who would be waited for.
        self.command(format!("{script}exec setsid --wait homectl --no-ask-password {words}")).run()
    }

    /// Runs homectl, which must succeed; what it printed.
    pub fn done(&self, words: &str, password: &str, new: &str) -> Result<String> {
        let output = self.homectl(words, password, new)?;
        ensure!(output.status == 0, "homectl {words}: {}\n{}\n{}", output.status, output.stderr, self.log());
        Ok(output.stdout)
    }

    /// Runs homectl, which must refuse; what it said to the user.
    pub fn refused(&self, words: &str, password: &str, new: &str) -> Result<String> {
        let output = self.homectl(words, password, new)?;
        ensure!(output.status != 0, "homectl {words} succeeded: {}", output.stdout);
        ensure!(output.status < 128, "homectl {words} was killed: {}", output.stderr);
        Ok(output.stderr)
    }

    /// Orders a home to be closed, which must be refused; what was said. homectl would try again for half a minute.
    pub fn not_closed(&self, user: &str) -> Result<String> {
        let name = "org.freedesktop.home1";
        let path = "/org/freedesktop/home1";
        let done = self.run(&format!("busctl call {name} {path} {name}.Manager DeactivateHome s {user}"))?;
        ensure!(done.status != 0, "the home of {user} was closed");
        Ok(done.stderr)
    }

    /// Nothing of this user's home is open: no mount, no device-mapper device, no loop device, no key in a
    /// keyring, no process, no reference.
    pub fn nothing_open(&self, user: &str) -> Result<()> {
        let left = self.check(&what_is_open(user))?;
        ensure!(left.is_empty(), "left open:\n{left}\n{}", self.log());
        Ok(())
    }

    /// The state of a home, in homectl's words.
    pub fn state(&self, user: &str) -> Result<String> {
        let text = self.check("homectl list -j")?;
        let homes: serde_json::Value = serde_json::from_str(&text)?;
        let home = homes.as_array().into_iter().flatten().find(|home| home["name"] == user);
        Ok(home.and_then(|home| home["state"].as_str()).unwrap_or("none").to_owned())
    }

    /// Waits until a home is in that state, for a minute.
    pub fn becomes(&self, user: &str, state: &str) -> Result<()> {
        self.check(&format!(
            "for try in $(seq 600); do
                homectl list -j | jq -e 'any(.[]; .name == \"{user}\" and .state == \"{state}\")' >&2 && exit 0
                sleep 0.1
            done 2>/dev/null
            {{ homectl list; ps -u {user} -o pid,stat,args; journalctl -o cat -n 40; }} >&2; exit 1"
        ))
        .map(drop)
    }
}

/// The key derivation of each of a home's key slots, and its iterations if it is PBKDF2.
pub fn slot_costs(machine: &Ours, user: &str) -> Result<Vec<String>> {
    let said = machine.check(&format!(
        "loop=$(losetup --find --show --offset $((1 << 20)) /home/{user}.home)
         cryptsetup luksDump --dump-json-metadata $loop | jq -r '.keyslots[].kdf | \"\\(.type) \\(.iterations)\"'
         losetup -d $loop"
    ))?;
    Ok(said.lines().map(str::to_owned).collect())
}

/// A script that prints what jq finds so in the metadata of a home's header.
pub fn header(user: &str, filter: &str) -> String {
    format!(
        "loop=$(losetup --find --show --read-only --offset $((1 << 20)) /home/{user}.home)
         cryptsetup luksDump --dump-json-metadata $loop | jq -c '{filter}'
         losetup -d $loop"
    )
}

/// What a home's header says in the clear that devices are asked with; `null`: nothing.
pub fn told_of_devices(machine: &Ours, user: &str) -> Result<String> {
    let said = machine.check(&format!(
        "loop=$(losetup --find --show --read-only --offset $((1 << 20)) /home/{user}.home)
         cryptsetup luksDump --dump-json-metadata $loop | jq -c '.tokens[] | select(.type == \"systemd-homed\").keys'
         losetup -d $loop"
    ))?;
    Ok(said.trim().to_owned())
}

/// A script that prints what is open of a user's home.
pub fn what_is_open(user: &str) -> String {
    format!(
        "grep -E ' /(home/{user}|run/systemd/user-home-mount)[/ ]' /proc/self/mountinfo\n\
         dmsetup ls 2>/dev/null | grep home-{user}\n\
         losetup -nl -O NAME,BACK-FILE | grep {user}\n\
         grep -F home-{user} /proc/keys\n\
         getent passwd {user} >/dev/null && ps -o pid=,args= -u {user}\n\
         fuser -v /run/systemd/home/{user}.* 2>/dev/null\n\
         :"
    )
}
