//! Packages of Debian that few scenarios look at: downloaded once, and installed by who wants them. No image gets larger.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::{Machine, cache, image, recipe};

const FETCH: &str = include_str!("../image/fetch.sh");
const STACKS: &str = include_str!("../image/stacks.sh");

impl Machine {
    /// Installs packages of that Debian (`trixie`, `forky`), with what they need and the machine has not.
    ///
    /// # Errors
    /// They cannot be downloaded, or not be installed.
    pub fn install(&self, suite: &str, names: &[&str]) -> Result<()> {
        let count = self.bring(&fetched(FETCH, suite, names)?, |_| true)?;
        ensure!(count > 0, "{names:?} of {suite}: nothing was downloaded");
        self.check(
            "export DEBIAN_FRONTEND=noninteractive; dpkg --install /root/packages/*.deb >&2 && rm -r /root/packages",
        )
        .map(drop)
    }

    /// Puts the files of these packages of that Debian below a folder, and installs nothing: what else they need is the machine's,
    /// whatever its version.
    ///
    /// # Errors
    /// They cannot be downloaded, or not be unpacked.
    pub fn unpack(&self, suite: &str, names: &[&str], folder: &str) -> Result<()> {
        let is_named = |file: &str| names.iter().any(|name| file.starts_with(&format!("{name}_")));
        let count = self.bring(&fetched(FETCH, suite, names)?, is_named)?;
        ensure!(count == names.len(), "{names:?} of {suite}: {count} were downloaded");
        self.check(&format!(
            "for package in /root/packages/*.deb; do dpkg-deb -x $package {folder} || exit; done; rm -r /root/packages"
        ))
        .map(drop)
    }

    /// Copies packages out of a folder to /root/packages; how many.
    fn bring(&self, folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<usize> {
        self.check("mkdir -p /root/packages")?;
        let mut count = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().context("a package's name is text")?;
            if wanted(&name) {
                self.copy_in(&entry.path(), &format!("/root/packages/{name}"))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Puts the PAM stacks of packages of that Debian into /etc/pam.d, and nothing else of them.
    ///
    /// # Errors
    /// They cannot be downloaded, or have none.
    pub fn stacks(&self, suite: &str, names: &[&str]) -> Result<()> {
        let mut count = 0;
        for entry in fs::read_dir(fetched(STACKS, suite, names)?)? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().context("a stack's name is text")?;
            self.write_file(&format!("/etc/pam.d/{name}"), fs::read(entry.path())?)?;
            count += 1;
        }
        ensure!(count > 0, "{names:?} of {suite}: there is no stack");
        Ok(())
    }
}

/// The folder of what a script has downloaded of packages.
fn fetched(how: &str, suite: &str, names: &[&str]) -> Result<PathBuf> {
    let tree = image::tree()?;
    let key = recipe::hexadecimal(&Sha256::digest(format!("{how}{suite} {names:?}")))[..16].to_owned();
    let folder = image::folder()?.join(format!("packages-{key}"));
    cache::once(&folder, |partial| {
        let script = folder.with_extension("sh");
        fs::write(&script, how)?;
        let mut command = Command::new("sh");
        command.arg(script).args([&tree, partial]).arg(suite).args(names);
        image::run(&mut command, &folder.with_extension("log"))
    })?;
    Ok(folder)
}
