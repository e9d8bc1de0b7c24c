//! This computer: its id, its TPMs, and the count of wrong PINs, which is ours and stops before the TPM's.

use super::Computer;
use crate::statedir::Folders;
use records::{MachineId, Secret, UserName};
use std::path::PathBuf;
use tpm2::{Device, Failure, Sealed};

/// How many wrong PINs in a row are tried. (TPMs are set to 3 to 32 of them, all users together.)
const MOST: u32 = 5;

/// Why a PIN has not opened anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It was wrong too often, and was not tried.
    TooOften,
    /// The TPM has given nothing.
    At(Failure),
}

/// The computer that we are on.
pub struct Here;

impl Computer for Here {
    fn id(&self) -> Option<String> {
        let text = std::fs::read_to_string("/etc/machine-id").ok()?;
        MachineId::parse(&text).ok().map(|id| id.as_str().to_owned())
    }

    fn unseal(&self, user: &UserName, sealed: &Sealed, pin: &Secret) -> Result<Secret, Stopped> {
        let tries = Tries { folders: &Folders::default(), user, mark: &mark(sealed) };
        tries.counted(&mut |count| unseal(sealed, pin, count))
    }

    fn seal(&self, device: &str, pin: &Secret, pcrs: &[u8]) -> Result<(Sealed, Secret), Failure> {
        let path = choose(tpm2::list(), device)?;
        // The TPM counts for all: nobody else tries a PIN meanwhile.
        let busy = |error: std::io::Error| Failure::NotCounted(error.to_string());
        let _held = Folders::default().one_at_a_time().map_err(busy)?;
        tpm2::seal(&mut Device::open(&path)?, pin, pcrs)
    }

    fn forgive(&self, user: &UserName) {
        // Forgotten the next time.
        let _ = Folders::default().forget_tries(user);
    }
}

/// The device that is meant. A path is one of the list: whoever asks has not root's right to open others.
fn choose(found: Vec<PathBuf>, device: &str) -> Result<PathBuf, Failure> {
    let none = || Failure::NoDevice("the kernel knows of none".into());
    if device != "auto" {
        let named = found.into_iter().find(|path| path.as_os_str() == device);
        return named.ok_or_else(|| Failure::NoDevice(format!("{device} is none")));
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) if found.is_empty() => Err(none()),
        Err(_) => {
            Err(Failure::Unsuitable("there are several; name one, see homectl --tpm2-device=list".into()))
        }
    }
}

/// Asks the TPMs, until one is that of the secret.
fn unseal(
    sealed: &Sealed,
    pin: &Secret,
    count: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<Secret, Failure> {
    let mut failure = Failure::NoDevice("the kernel knows of none".into());
    for path in tpm2::list() {
        match Device::open(&path).and_then(|mut device| tpm2::unseal(&mut device, sealed, pin, count)) {
            Err(other @ (Failure::OtherTpm | Failure::NoDevice(_))) => failure = other,
            done => return done,
        }
    }
    Err(failure)
}

/// What the count is about: another secret has another one.
fn mark(sealed: &Sealed) -> String {
    let hash = openssl::sha::sha256(&[&sealed.salt[..], &sealed.private].concat());
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes down that a PIN is tried.
type Count<'a> = dyn FnMut() -> Result<(), Failure> + 'a;

/// The count of one secret.
struct Tries<'a> {
    folders: &'a Folders,
    user: &'a UserName,
    mark: &'a str,
}

impl Tries<'_> {
    /// Tries a PIN, which is counted on disk before the TPM hears of it.
    fn counted(
        &self,
        attempt: &mut dyn FnMut(&mut Count<'_>) -> Result<Secret, Failure>,
    ) -> Result<Secret, Stopped> {
        let uncounted = |error: std::io::Error| Stopped::At(Failure::NotCounted(error.to_string()));
        let _held = self.folders.one_at_a_time().map_err(uncounted)?;
        let before = self.folders.tries(self.user, self.mark).map_err(uncounted)?;
        if before >= MOST {
            return Err(Stopped::TooOften);
        }
        let mut count = || {
            let written = self.folders.set_tries(self.user, self.mark, before + 1);
            written.map_err(|error| Failure::NotCounted(error.to_string()))
        };
        let done = attempt(&mut count).map_err(Stopped::At);
        if done.is_ok() {
            // Where it cannot be taken back it counts: the password takes it back later.
            let _ = self.folders.forget_tries(self.user);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const WRONG: Result<&str, Failure> = Err(Failure::BadPin);

    /// What comes of a try with that end, and whether the TPM has heard of it.
    fn tried(folders: &Folders, mark: &str, end: Result<&str, Failure>) -> (Option<Stopped>, bool) {
        let user = UserName::parse("alice").expect("valid");
        let heard = Cell::new(false);
        let done = Tries { folders, user: &user, mark }.counted(&mut |count| {
            count()?;
            // It is on disk by now, whatever becomes of us.
            assert!(folders.tries(&user, mark).expect("read") > 0);
            heard.set(true);
            end.clone().map(|text| Secret::from_text(text.to_owned()))
        });
        (done.err(), heard.get())
    }

    #[test]
    fn a_pin_is_tried_five_times_and_a_right_one_forgives() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folders = Folders { state: scratch.path().into(), ..Folders::default() };
        let wrong = (Some(Stopped::At(Failure::BadPin)), true);
        (0..4).for_each(|_| assert_eq!(tried(&folders, "a", WRONG), wrong));
        assert_eq!(tried(&folders, "a", Ok("right")), (None, true));
        (0..5).for_each(|_| assert_eq!(tried(&folders, "a", WRONG), wrong));
        for end in [WRONG, Ok("right")] {
            assert_eq!(tried(&folders, "a", end), (Some(Stopped::TooOften), false));
        }
        // What was enrolled anew has tries of its own; and the password forgives.
        assert_eq!(tried(&folders, "b", WRONG), wrong);
        folders.forget_tries(&UserName::parse("alice").expect("valid")).expect("removed");
        assert_eq!(tried(&folders, "a", WRONG), wrong);
    }

    #[test]
    fn what_cannot_be_counted_is_not_tried() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folders = Folders { state: scratch.path().into(), ..Folders::default() };
        // A folder in the file's place.
        std::fs::create_dir(scratch.path().join("alice.pin-tries")).expect("made");
        let (stopped, heard) = tried(&folders, "a", Ok("right"));
        assert!(matches!(stopped, Some(Stopped::At(Failure::NotCounted(_)))) && !heard);
    }

    #[test]
    fn only_a_tpm_is_opened() {
        let two = || vec![PathBuf::from("/dev/tpmrm0"), PathBuf::from("/dev/tpmrm1")];
        assert_eq!(choose(two(), "/dev/tpmrm1"), Ok(PathBuf::from("/dev/tpmrm1")));
        assert!(choose(two(), "/etc/shadow").is_err() && choose(two(), "auto").is_err());
        assert!(choose(Vec::new(), "auto").is_err());
        assert_eq!(choose(two()[..1].to_vec(), "auto"), Ok(PathBuf::from("/dev/tpmrm0")));
    }
}
