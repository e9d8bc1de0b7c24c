//! A new recovery key: made, enrolled, shown once, and written to a file that was not there.

use crate::bus::Failure;
use crate::context::Context;
use crate::hashing;
use records::{Secret, recovery};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// A recovery key in its written form.
pub struct RecoveryKey {
    /// 71 characters.
    pub text: Secret,
}

impl RecoveryKey {
    /// A new one where the options ask for it.
    pub fn wanted(ctx: &Context<'_>) -> Result<Option<Self>, Failure> {
        match (ctx.draft.recovery_key, &ctx.settings.recovery_key_file) {
            (Some(true), _) => Self::random().map(Some),
            (_, Some(_)) => Err(Failure::say("--recovery-key-file= needs --recovery-key=yes")),
            (_, None) => Ok(None),
        }
    }

    fn random() -> Result<Self, Failure> {
        let mut key = [0; 32];
        let got = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty());
        match got {
            Ok(32) => Ok(Self { text: recovery::encode(&key) }),
            _ => Err(Failure::say("there is no randomness for a recovery key")),
        }
    }

    /// Puts its hash into a record, instead of former ones.
    pub fn enroll(&self, members: &mut Map<String, Value>) -> Result<(), Failure> {
        let hash = hashing::hash(&self.text)?;
        members.insert("recoveryKeyType".to_owned(), json!(["modhex64"]));
        let privileged = members.entry("privileged").or_insert_with(|| json!({}));
        privileged["recoveryKey"] = json!([{"type": "modhex64", "hashedPassword": hash}]);
        Ok(())
    }

    /// Shows it on standard output, alone; what it is on standard error. A file that cannot be written is a warning.
    pub fn show(&self, ctx: &Context<'_>) {
        ctx.asker.notice("This is the recovery key. It opens the home when the password is lost. Keep it in a safe place: it is not shown again.");
        ctx.say(self.text.open_text().unwrap_or_default());
        ctx.say("\n");
        let Some(path) = &ctx.settings.recovery_key_file else { return };
        if ctx.settings.dry_run {
            return;
        }
        if let Err(e) = self.write(path) {
            ctx.asker.notice(&format!(
                "The recovery key could not be written to {path}: {e}. It is valid: write it down from above."
            ));
        }
    }

    /// Whole or not at all, and never over something: the finished file is linked to its name.
    fn write(&self, path: &str) -> std::io::Result<()> {
        let path = std::path::Path::new(path);
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => std::path::Path::new("."),
        };
        let scratch = folder.join(format!(".homectl-recovery-key-{}", std::process::id()));
        let written = self.write_scratch(&scratch).and_then(|()| std::fs::hard_link(&scratch, path));
        let _ = std::fs::remove_file(&scratch);
        written?;
        std::fs::File::open(folder)?.sync_all()
    }

    fn write_scratch(&self, path: &std::path::Path) -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(self.text.open())?;
        file.write_all(b"\n")?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("key");
        let path = path.to_str().expect("UTF-8");
        let key = RecoveryKey::random().expect("random");
        key.write(path).expect("first");
        assert_eq!(std::fs::read_to_string(path).expect("there").len(), 72);
        assert!(RecoveryKey::random().expect("random").write(path).is_err());
        assert!(
            std::fs::read_to_string(path).expect("there").starts_with(key.text.open_text().expect("text"))
        );
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1);
    }
}
