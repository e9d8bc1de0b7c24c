//! A TPM of the machine: swtpm at a socket, which the package for tests takes for `/dev/tpmrm0`. What a firmware or an
//! administrator does to it is sent there as bytes (TCG, "Trusted Platform Module Library", part 3).

use crate::Ours;
use anyhow::{Context, Result, ensure};
use machine::Output;

const SOCKET: &str = "/run/homed/test-tpm2";
/// Where they remember. (In memory, and not on disk: what is deleted there is free memory.)
const MEMORIES: &str = "/run/tpms";
/// Sends a command in hexadecimal, and prints the response so.
const SEND: &str = "use IO::Socket::UNIX; my $line = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!; \
                    syswrite $line, pack 'H*', $ARGV[1]; sysread $line, my $response, 4096; print unpack 'H*', $response";

/// TPM_RH_LOCKOUT, and an authorization by an empty password.
const BY_LOCKOUT: &str = "4000000a 00000009 40000009 0000 00 0000";

/// A TPM.
pub struct Tpm<'a> {
    machine: &'a Ours,
}

impl<'a> Tpm<'a> {
    /// The machine's, before it has one.
    pub fn new(machine: &'a Ours) -> Self {
        Self { machine }
    }

    /// Puts the TPM of that name in, which is made if it was never there.
    pub fn put_in(&self, name: &str) -> Result<()> {
        let script = format!(
            "mkdir -p {MEMORIES}/{name} /run/homed
             setsid swtpm socket --tpm2 --tpmstate dir={MEMORIES}/{name} --server type=unixio,path={SOCKET} \
                 --flags not-need-init,startup-clear </dev/null >/run/swtpm.log 2>&1 &
             echo $! >/run/swtpm.pid
             until [ -S {SOCKET} ]; do kill -0 $(cat /run/swtpm.pid) || {{ cat /run/swtpm.log >&2; exit 1; }}; sleep 0.05; done"
        );
        self.machine.check(&script).map(drop)
    }

    /// Puts one in as a device of the kernel's (of a machine with Debian's kernel), which stays.
    pub fn put_in_as_device(&self) -> Result<()> {
        let script = format!(
            "modprobe tpm_vtpm_proxy; mkdir -p {MEMORIES}/device
             setsid swtpm chardev --tpm2 --vtpm-proxy --tpmstate dir={MEMORIES}/device \
                 --flags not-need-init,startup-clear </dev/null >/run/swtpm.log 2>&1 &
             until [ -c /dev/tpmrm0 ]; do kill -0 $! || {{ cat /run/swtpm.log >&2; exit 1; }}; sleep 0.05; done"
        );
        self.machine.check(&script).map(drop)
    }

    /// Takes it out.
    pub fn take_out(&self) -> Result<()> {
        let script =
            format!("pid=$(cat /run/swtpm.pid); kill $pid; tail --pid=$pid -f /dev/null; rm -f {SOCKET}");
        self.machine.check(&script).map(drop)
    }

    /// How many wrong authorizations it has counted.
    pub fn counted(&self) -> Result<u32> {
        let response = self.send("8001", "0000017a", "00000006 0000020e 00000001")?;
        let last = response.get(response.len().saturating_sub(8)..).context("a short response")?;
        Ok(u32::from_str_radix(last, 16)?)
    }

    /// How many it takes before it locks itself.
    pub fn takes(&self, most: u32) -> Result<()> {
        self.send("8002", "0000013a", &format!("{BY_LOCKOUT} {most:08x} 00002710 00002710")).map(drop)
    }

    /// What it has counted is forgotten.
    pub fn forgets(&self) -> Result<()> {
        self.send("8002", "00000139", BY_LOCKOUT).map(drop)
    }

    /// It forgets everything.
    pub fn is_cleared(&self) -> Result<()> {
        self.send("8002", "00000126", BY_LOCKOUT).map(drop)
    }

    /// A PCR changes, as at a start with something else.
    pub fn extend(&self, pcr: u32) -> Result<()> {
        let parameters =
            format!("{pcr:08x} 00000009 40000009 0000 00 0000 00000001 000b {}", "5a".repeat(32));
        self.send("8002", "00000182", &parameters).map(drop)
    }

    /// Sends a command; its response, which must be good.
    fn send(&self, tag: &str, code: &str, content: &str) -> Result<String> {
        let content = content.replace(' ', "");
        let size = 10 + content.len() / 2;
        let sent = format!("perl -e '{}' {SOCKET} {tag}{size:08x}{code}{content}", SEND.replace('\'', "\""));
        let response = self.machine.check(&sent)?;
        ensure!(response.get(12..20) == Some("00000000"), "the TPM answers {response} to {code}");
        Ok(response)
    }
}

/// Runs homectl with a new PIN and a password in its environment.
pub fn enrol(machine: &Ours, words: &str, new_pin: &str, password: &str) -> Result<Output> {
    machine.homectl_given(&[("NEWPIN", new_pin), ("PASSWORD", password)], words)
}
