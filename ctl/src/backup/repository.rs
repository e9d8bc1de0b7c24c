//! Where backups go, and how its password gets there: never in the arguments of a program, nor in the environment, unless the
//! user has put it there.

use crate::bus::Failure;
use crate::prompt::Asker;
use handoff::{Memory, offer_plain};
use records::Secret;
use serde_json::{Map, Value};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// Member of the section `privileged`: where backups go, in restic's words. Others do not see it: it may name an account.
pub const REPOSITORY: &str = "backupRepository";
/// Member of the section `privileged`: the file that has the password of the repository.
pub const PASSWORD_FILE: &str = "backupPasswordFile";
/// What restic takes its repository and password from by itself (restic(1)).
const PLACES: [&str; 2] = ["RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE"];
const PASSWORDS: [&str; 3] = ["RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"];

/// Who says the password.
enum Password {
    /// A file.
    File(String),
    /// The environment: a file, a command, or the password itself.
    Environment,
    /// Somebody who was asked.
    Typed(Memory),
}

/// Who has said where a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// Whoever runs homectl: by an option, or a variable of the own; or whose home and record it is.
    Caller,
    /// The record of somebody else, who may change it.
    Record,
}

/// A place and a file with a password, as they were said somewhere.
pub type Named = (Option<String>, Option<String>);

/// A repository.
pub struct Repository {
    /// Where it is; `None`: the environment says.
    pub place: Option<String>,
    /// The file with its password, if one was named.
    pub password_file: Option<String>,
    password: Password,
    named_by: NamedBy,
}

/// What a record says of it, or the options that are laid over it.
pub fn named(members: &Map<String, Value>) -> Named {
    let member = |name: &str| {
        let text = members.get("privileged")?.get(name)?.as_str()?;
        Some(text.to_owned()).filter(|text| !text.is_empty())
    };
    (member(REPOSITORY), member(PASSWORD_FILE))
}

impl Repository {
    /// Finds it, and asks for its password where nothing else says it.
    pub fn find(
        (place, password_file): Named,
        is_set: &dyn Fn(&str) -> bool,
        asker: &dyn Asker,
    ) -> Result<Self, Failure> {
        if place.is_none() && !PLACES.iter().any(|name| is_set(name)) {
            return Err(Failure::say(
                "Nobody says where the backups of this home are. Nothing was changed. Name a repository of restic's: \
                 --backup-repository=REPOSITORY, here or once with homectl update",
            ));
        }
        let password = match &password_file {
            Some(file) => Password::File(file.clone()),
            None if PASSWORDS.iter().any(|name| is_set(name)) => Password::Environment,
            None => Password::Typed(typed(&asker.ask("Password of the repository: ")?)?),
        };
        Ok(Self { place, password_file, password, named_by: NamedBy::Caller })
    }

    /// Finds it for root, who makes a backup with the rights of somebody else: root's option counts before the record, which is that
    /// user's; and where the record alone says the place, nothing that is root's alone goes there, and nothing is asked for. A
    /// variable of root's names root's own repository, whoever's backup it is: it is there in each shell, and with it its
    /// password would go to the user.
    pub fn find_for_root(
        own: Named,
        record: Named,
        is_set: &dyn Fn(&str) -> bool,
        asker: &dyn Asker,
    ) -> Result<Self, Failure> {
        let is_any = |names: &[&str]| names.iter().any(|name| is_set(name));
        let is_named = own.0.is_some();
        let is_known = is_named && is_any(&PASSWORDS);
        let file = own.1.or(record.1.filter(|_| !is_known));
        if is_named {
            return Self::find((own.0, file), is_set, asker);
        }
        match (record.0, file) {
            (None, _) if is_any(&PLACES) => Err(Failure::say(
                "RESTIC_REPOSITORY names a repository of root's, and restic runs as the home's user here, who could read what goes along \
                 with it (its password, keys to a server). Nothing was changed. Name it, if that is meant: \
                 --backup-repository=REPOSITORY, here or once with homectl update",
            )),
            (None, file) => Self::find((None, file), is_set, asker),
            (Some(place), Some(file)) => Ok(Self {
                place: Some(place),
                password: Password::File(file.clone()),
                password_file: Some(file),
                named_by: NamedBy::Record,
            }),
            (Some(_), None) => Err(Failure::say(
                "The record says where the backups of this home are, and no file with the password of that repository. The user can \
                 change the record, so root's variables and what root types do not go there. Nothing was changed. Name \
                 --backup-password-file=FILE, which the user can read, or the repository itself with --backup-repository=REPOSITORY",
            )),
        }
    }

    /// Who has said where it is.
    pub fn named_by(&self) -> NamedBy {
        self.named_by
    }

    /// Tells a program of it. Its standard input may be taken for that.
    pub fn tell(&self, command: &mut Command) -> Result<(), Failure> {
        if let Some(place) = &self.place {
            command.env_remove(PLACES[1]).env(PLACES[0], place);
        }
        let file = match &self.password {
            Password::Environment => return Ok(()),
            Password::File(file) => file,
            Password::Typed(memory) => {
                let copy = memory.as_fd().try_clone_to_owned().map_err(|error| unheard(&error))?;
                command.stdin(Stdio::from(copy));
                "/dev/stdin"
            }
        };
        for name in PASSWORDS {
            command.env_remove(name);
        }
        command.env(PASSWORDS[1], file);
        Ok(())
    }
}

/// In memory that a descriptor shows, and that is wiped afterwards.
fn typed(password: &Secret) -> Result<Memory, Failure> {
    offer_plain(password).map_err(|error| unheard(&error))
}

fn unheard(error: &std::io::Error) -> Failure {
    Failure::say(format!("The password of the repository was not taken: {error}. Nothing was changed."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Ready;
    use serde_json::json;
    use std::ffi::OsStr;

    struct Typist;

    impl Asker for Typist {
        fn ready(&self, _: Ready) -> Option<Secret> {
            None
        }
        fn ask(&self, _: &str) -> Result<Secret, Failure> {
            Ok(Secret::from_text("hunter2".into()))
        }
        fn notice(&self, _: &str) {}
    }

    fn found(members: Value, set: &[&str]) -> Result<Repository, Failure> {
        let members = members.as_object().cloned().expect("an object");
        Repository::find(named(&members), &|name| set.contains(&name), &Typist)
    }

    #[test]
    fn a_password_is_in_no_argument_and_no_variable() {
        let repository = found(json!({ "privileged": { REPOSITORY: "/srv/r" } }), &[]).expect("found");
        let mut command = Command::new("sh");
        command.args(["-c", "cat $RESTIC_PASSWORD_FILE; env; cat /proc/$$/cmdline"]).env_clear();
        repository.tell(&mut command).expect("told");
        for (name, value) in command.get_envs() {
            assert!(value != Some(OsStr::new("hunter2")), "{name:?}");
        }
        command.env("PATH", "/usr/bin:/bin");
        for round in 0..2 {
            let mut again = Command::new("sh");
            again.args(["-c", "cat $RESTIC_PASSWORD_FILE; env"]);
            repository.tell(&mut again).expect("told");
            let told = String::from_utf8(again.output().expect("runs").stdout).expect("text");
            assert_eq!(told.matches("hunter2").count(), 1, "round {round}: {told}");
            assert!(told.contains("RESTIC_REPOSITORY=/srv/r"), "{told}");
        }
    }

    #[test]
    fn what_the_user_has_arranged_is_left_as_it_is() {
        let repository = found(json!({}), &["RESTIC_REPOSITORY", "RESTIC_PASSWORD_COMMAND"]).expect("found");
        let mut command = Command::new("true");
        repository.tell(&mut command).expect("told");
        assert_eq!(command.get_envs().count(), 0);
        let file = json!({ "privileged": { REPOSITORY: "r", PASSWORD_FILE: "/home/alice/.p" } });
        let repository = found(file, &["RESTIC_PASSWORD"]).expect("found");
        repository.tell(&mut command).expect("told");
        let told: Vec<_> = command.get_envs().collect();
        assert!(told.contains(&(OsStr::new("RESTIC_PASSWORD_FILE"), Some(OsStr::new("/home/alice/.p")))));
        assert!(told.contains(&(OsStr::new("RESTIC_PASSWORD"), None)), "the file counts");
        assert!(found(json!({ "privileged": { REPOSITORY: "" } }), &[]).is_err(), "nobody says where");
    }

    #[test]
    fn what_is_roots_goes_to_no_repository_that_the_user_has_named() {
        let said =
            |place: Option<&str>, file: Option<&str>| (place.map(str::to_owned), file.map(str::to_owned));
        let find = |own, record, set: &[&str]| {
            Repository::find_for_root(own, record, &|name| set.contains(&name), &Typist)
        };
        let hers = || said(Some("rest:https://hers"), Some("/home/alice/.p"));
        let found = find(said(None, None), hers(), &["RESTIC_PASSWORD"]).expect("the record says all");
        assert_eq!((found.named_by, found.place.as_deref()), (NamedBy::Record, Some("rest:https://hers")));
        assert!(matches!(found.password, Password::File(file) if file == "/home/alice/.p"));
        let known = said(Some("rest:https://hers"), None);
        assert!(find(said(None, None), known, &["RESTIC_PASSWORD"]).is_err(), "neither a variable nor typed");
        // Root's option counts before the record, and a variable that is there in each of root's shells does not.
        let found = find(said(Some("/srv/r"), None), hers(), &["RESTIC_PASSWORD"]).expect("an option");
        assert_eq!((found.named_by, found.place.as_deref()), (NamedBy::Caller, Some("/srv/r")));
        assert!(matches!(found.password, Password::Environment));
        for place in PLACES {
            let found = find(said(None, None), hers(), &[place, "RESTIC_PASSWORD"]).expect("the record");
            assert_eq!(
                (found.named_by, found.place.as_deref()),
                (NamedBy::Record, Some("rest:https://hers"))
            );
            let Err(Failure::Other(why)) =
                find(said(None, None), said(None, None), &[place, "RESTIC_PASSWORD"])
            else {
                panic!("root's repository went to the user")
            };
            assert!(why.contains("--backup-repository="), "{why}");
        }
        let found = find(said(None, Some("/srv/p")), hers(), &[]).expect("a file");
        assert!(matches!(found.password, Password::File(file) if file == "/srv/p"));
        assert_eq!(found.named_by, NamedBy::Record);
        assert!(find(said(None, None), said(None, None), &[]).is_err(), "nobody says where");
    }
}
