//! A new recovery key: made, enrolled, shown once, and written to a file that was not there.

use crate::bus::Failure;
use crate::context::Context;
use crate::hashing;
use crate::new_keys::Made;
use crate::prompt::Asker;
use crate::qr_code;
use records::keys::RECOVERY_KEY;
use records::recovery::{Fresh, MISTYPED};
use records::{Credentials, Secret};
use serde_json::json;
use std::cell::Cell;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// A recovery key that is new.
pub struct RecoveryKey {
    key: Fresh,
    shown: Cell<bool>,
}

impl RecoveryKey {
    /// A new one for a home that is to be made, where the options ask for it.
    pub fn wanted(ctx: &Context<'_>) -> Result<Option<Self>, Failure> {
        if !Self::is_wanted(ctx)? {
            return Ok(None);
        }
        let key = Self::random()?;
        if ctx.can_ask() && !ctx.settings.dry_run {
            key.confirm(ctx)?;
        }
        Ok(Some(key))
    }

    /// Whether the options ask for one.
    pub fn is_wanted(ctx: &Context<'_>) -> Result<bool, Failure> {
        match (ctx.draft.recovery_key, &ctx.settings.recovery_key_file) {
            (Some(true), _) => Ok(true),
            (_, Some(_)) => Err(Failure::say("--recovery-key-file= needs --recovery-key=yes")),
            (_, None) => Ok(false),
        }
    }

    /// A new one for a home that is there: homed makes it, and enrols it when a part of it was typed. Where nobody can be asked
    /// it is shown when it is enrolled.
    pub fn of_homed(ctx: &Context<'_>, name: &str) -> Result<Self, Failure> {
        ctx.start_agent();
        let (text, number) = ctx.daemon.make_recovery_key(name)?;
        let key = Self { key: Fresh { text, number }, shown: Cell::new(false) };
        if ctx.can_ask() {
            key.confirm(ctx)?;
        }
        Ok(key)
    }

    /// Has homed enrol what it has made.
    pub fn enroll(
        &self,
        ctx: &Context<'_>,
        name: &str,
        credentials: &mut Credentials,
    ) -> Result<(), Failure> {
        let typed = self.key.group();
        let called = ctx.draft.names.new.as_deref().unwrap_or_default();
        ctx.talk(name).insist(credentials, |handed| {
            ctx.daemon.confirm_recovery_key(name, typed, called, &handed.argument)
        })
    }

    /// One that is made here.
    fn random() -> Result<Self, Failure> {
        let fill = |bytes: &mut [u8]| {
            let length = bytes.len();
            rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty()) == Ok(length)
        };
        match Fresh::new(fill) {
            Some(key) => Ok(Self { key, shown: Cell::new(false) }),
            None => Err(Failure::say("there is no randomness for a recovery key")),
        }
    }

    /// Its text.
    pub fn text(&self) -> &Secret {
        &self.key.text
    }

    /// Shows it, and has one of its groups typed: a key that nobody has written down is none. Only then it is enrolled.
    fn confirm(&self, ctx: &Context<'_>) -> Result<(), Failure> {
        self.display(ctx);
        self.is_typed(ctx.asker)
    }

    /// Has its group typed.
    fn is_typed(&self, asker: &dyn Asker) -> Result<(), Failure> {
        let question = format!("Write it down, then type group {} of its eight groups: ", self.key.number);
        for _ in 0..MISTYPED {
            if self.key.is_shown_by(&asker.ask(&question)?) {
                return Ok(());
            }
            asker.notice("That is another. Try again.");
        }
        Err(Failure::say("The recovery key was not confirmed, and does not count. Nothing was changed."))
    }

    /// The key for a record. (Former ones go by the option.)
    pub fn made(&self) -> Result<Made, Failure> {
        let entry = json!({"type": "modhex64", "hashedPassword": hashing::hash(&self.key.text)?});
        Ok(Made { kind: RECOVERY_KEY, entry, model: None })
    }

    /// Shows it on standard output, alone; what it is on standard error.
    fn display(&self, ctx: &Context<'_>) {
        self.shown.set(true);
        ctx.asker.notice("This is the recovery key. It opens the home when the password is lost. Keep it in a safe place: it is not shown again.");
        ctx.say(self.key.text.open_text().unwrap_or_default());
        ctx.say("\n");
        if !ctx.settings.draws {
            return;
        }
        if let Some(picture) = qr_code::picture(&self.key.text) {
            ctx.asker.notice("The same, for the camera of a telephone that you trust with it:");
            ctx.asker.notice(picture.open_text().unwrap_or_default());
        }
    }

    /// It is enrolled: shows it if it was not shown yet, and writes it to the file. A file that cannot be written is a
    /// warning.
    pub fn show(&self, ctx: &Context<'_>) {
        if !self.shown.get() {
            self.display(ctx);
        }
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
        file.write_all(self.key.text.open())?;
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
            std::fs::read_to_string(path).expect("there").starts_with(key.text().open_text().expect("text"))
        );
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1);
    }

    /// Types these, one after the other.
    struct Typist(std::cell::RefCell<Vec<String>>);

    impl Asker for Typist {
        fn ready(&self, _: crate::prompt::Ready) -> Option<Secret> {
            None
        }
        fn ask(&self, question: &str) -> Result<Secret, Failure> {
            assert!(question.contains("group 3 of its eight"));
            Ok(Secret::from_text(self.0.borrow_mut().pop().expect("asked too often")))
        }
        fn notice(&self, _: &str) {}
    }

    #[test]
    fn a_key_that_nobody_has_written_down_does_not_count() {
        let mut key = RecoveryKey::random().expect("random");
        key.key.number = 3;
        let group = key.text().open_text().expect("text").split('-').nth(2).expect("eight groups").to_owned();
        let typed = |answers: &[&str]| {
            let answers = answers.iter().rev().map(|text| (*text).to_owned()).collect();
            key.is_typed(&Typist(std::cell::RefCell::new(answers)))
        };
        assert_eq!(typed(&[&group]), Ok(()));
        assert_eq!(typed(&["", "x", &format!(" {} ", group.to_uppercase())]), Ok(()));
        assert!(typed(&["", "", ""]).is_err());
    }
}
