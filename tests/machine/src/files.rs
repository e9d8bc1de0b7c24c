//! Files in and out of the guest.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::builder::Machine;

impl Machine {
    /// Copies a file or folder of the host to `to` in the guest. Sparse files stay sparse.
    pub fn copy_in(&self, from: &Path, to: &str) -> Result<()> {
        let (_, here, there) = self.runner.folder()?;
        copy(from, &here.join("file"))?;
        self.check(&format!(
            "cp -a --sparse=always --no-target-directory '{}/file' '{to}'",
            there.display()
        ))?;
        crate::cache::remove(&here)
    }

    /// Copies a file or folder of the guest to `to` on the host.
    pub fn copy_out(&self, from: &str, to: &Path) -> Result<()> {
        let (_, here, there) = self.runner.folder()?;
        self.check(&format!(
            "cp -r --sparse=always --no-target-directory '{from}' '{}/file'",
            there.display()
        ))?;
        copy(&here.join("file"), to)?;
        crate::cache::remove(&here)
    }

    /// Writes a file in the guest, owned by root, mode 0644.
    pub fn write_file(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.command(format!("cat > '{path}'")).stdin(content.as_ref()).check().map(drop)
    }

    /// Reads a file in the guest.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let (_, here, there) = self.runner.folder()?;
        self.check(&format!("cat '{path}' > '{}/file'", there.display()))?;
        let content = fs::read(here.join("file")).with_context(|| format!("cannot read back {path}"))?;
        crate::cache::remove(&here)?;
        Ok(content)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let output = std::process::Command::new("cp")
        .args(["-r", "--sparse=always", "--reflink=auto", "--no-target-directory"])
        .args([from, to])
        .output()
        .context("cannot start `cp`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "cannot copy {} to {}: {said}", from.display(), to.display());
    Ok(())
}
