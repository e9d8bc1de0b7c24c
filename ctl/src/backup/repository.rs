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

/// A repository.
pub struct Repository {
    /// Where it is; `None`: the environment says.
    pub place: Option<String>,
    /// The file with its password, if one was named.
    pub password_file: Option<String>,
    password: Password,
}

/// What a record says of it, or the options that are laid over it.
pub fn named(members: &Map<String, Value>) -> (Option<String>, Option<String>) {
    let member = |name: &str| {
        let text = members.get("privileged")?.get(name)?.as_str()?;
        Some(text.to_owned()).filter(|text| !text.is_empty())
    };
    (member(REPOSITORY), member(PASSWORD_FILE))
}

impl Repository {
    /// Finds it, and asks for its password where nothing else says it.
    pub fn find(
        (place, password_file): (Option<String>, Option<String>),
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
        Ok(Self { place, password_file, password })
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
}
