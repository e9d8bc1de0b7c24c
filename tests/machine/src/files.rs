//! Files in and out of the guest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::builder::{Hardware, Machine};

impl Machine {
    /// Copies a file or folder of the host to `to` in the guest. Sparse files stay sparse.
    pub fn copy_in(&self, from: &Path, to: &str) -> Result<()> {
        if self.settings.hardware == Hardware::Screen {
            self.write_file(to, fs::read(from)?)?;
            let mode = fs::metadata(from)?.permissions().mode() & 0o7777;
            return self.check(&format!("chmod {mode:o} '{to}'")).map(drop);
        }
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
        if self.settings.hardware == Hardware::Screen {
            return self.copy_from_disk(from, to);
        }
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
        if self.settings.hardware == Hardware::Screen {
            return BASE64.decode(self.check(&format!("base64 -w0 '{path}'"))?).context("not base64");
        }
        let (_, here, there) = self.runner.folder()?;
        self.check(&format!("cat '{path}' > '{}/file'", there.display()))?;
        let content = fs::read(here.join("file")).with_context(|| format!("cannot read back {path}"))?;
        crate::cache::remove(&here)?;
        Ok(content)
    }

    /// Copies a file out of the disk of a machine with a screen, while it runs.
    fn copy_from_disk(&self, from: &str, to: &Path) -> Result<()> {
        // Frozen once, all of it is where it belongs, and nothing in the file system's journal.
        self.check("sync; fsfreeze --freeze / && fsfreeze --unfreeze /")?;
        let output = std::process::Command::new("debugfs")
            .arg("-R")
            .arg(format!("dump {from} {}", to.display()))
            .arg(self.wreck.path().join("disk.img"))
            .output()
            .context("cannot start `debugfs` (package e2fsprogs)")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success() && to.exists(), "cannot copy {from} from the disk: {said}");
        Ok(())
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
