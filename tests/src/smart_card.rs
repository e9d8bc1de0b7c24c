//! Smart cards of the machine: tokens of SoftHSM, behind a module that counts what they are given, and that can be told to
//! be locked, to have a pad, or to hang.

use crate::Ours;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Where the module looks, and where cards are that are pulled out.
const FOLDER: &str = "/run/cards";
const TOKENS: &str = "/var/lib/softhsm/tokens";

/// The readers of a machine, and what is done with all cards.
pub struct Cards<'a> {
    machine: &'a Ours,
}

impl<'a> Cards<'a> {
    /// Puts the module between p11-kit and SoftHSM. `program` is the test's `CARGO_BIN_EXE_softcard`.
    pub fn new(machine: &'a Ours, program: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (source, module) = (folder.path().join("module.c"), folder.path().join("module.so"));
        std::fs::write(&source, include_str!("smart_card/module.c"))?;
        let mut compiler = Command::new("cc");
        let built =
            compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&module).arg(&source).output()?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        machine.copy_in(Path::new(program), "/root/softcard")?;
        machine.copy_in(&module, "/usr/lib/test-cards.so")?;
        machine.check(&format!(
            "mkdir -p {FOLDER}/out; rm /usr/share/p11-kit/modules/*
             echo 'module: /usr/lib/test-cards.so' > /usr/share/p11-kit/modules/test.module"
        ))?;
        Ok(Self { machine })
    }

    /// A new card with keys of these kinds (see `softcard`), plugged in.
    pub fn make(&self, label: &str, pin: &str, kinds: &str) -> Result<()> {
        self.machine.check(&format!("/root/softcard new '{label}' '{pin}' {kinds}")).map(drop)
    }

    /// The same; its URI.
    pub fn card(&self, label: &str, pin: &str, kinds: &str) -> Result<String> {
        self.make(label, pin, kinds)?;
        let listed = self.machine.check("homectl --pkcs11-token-uri=list")?;
        let line =
            listed.lines().find(|line| line.ends_with(&format!(" {label}"))).context("it is not listed")?;
        Ok(line.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Pulls a card out.
    pub fn pull_out(&self, label: &str) -> Result<()> {
        self.machine.check(&format!("mkdir {FOLDER}/out/{label}; mv $(grep -l {label} -r {TOKENS} | head -1 | xargs dirname) {FOLDER}/out/{label}/")).map(drop)
    }

    /// Plugs it in again.
    pub fn plug_in(&self, label: &str) -> Result<()> {
        self.machine
            .check(&format!("mv {FOLDER}/out/{label}/* {TOKENS}/ && rmdir {FOLDER}/out/{label}"))
            .map(drop)
    }

    /// Takes a card out of the machine; it is in the folder then.
    pub fn take_away(&self, label: &str, folder: &Path) -> Result<()> {
        self.pull_out(label)?;
        self.machine.copy_out(&format!("{FOLDER}/out/{label}"), folder)?;
        self.machine.check(&format!("rm -r {FOLDER}/out/{label}")).map(drop)
    }

    /// Brings it into this one, and plugs it in.
    pub fn bring(&self, label: &str, folder: &Path) -> Result<()> {
        self.machine.copy_in(folder, &format!("{FOLDER}/out/{label}"))?;
        self.plug_in(label)
    }

    /// What the module obeys: `flags-LABEL` (a number that its token's flags have, too), `pad` (the PIN that is typed there),
    /// `hang` and `crash` (at `C_Login`).
    pub fn set(&self, what: &str, value: &str) -> Result<()> {
        self.machine.write_file(&format!("{FOLDER}/{what}"), value)
    }

    /// Takes that back.
    pub fn unset(&self, what: &str) -> Result<()> {
        self.machine.check(&format!("rm {FOLDER}/{what}")).map(drop)
    }

    /// The PINs that were tried since this was asked the last time: the label of the card for each, in order.
    pub fn tried(&self) -> Result<Vec<String>> {
        let file = format!("{FOLDER}/tried");
        let said = self.machine.check(&format!("cat {file} 2>/dev/null; rm -f {file}"))?;
        Ok(said.lines().map(str::to_owned).collect())
    }
}
