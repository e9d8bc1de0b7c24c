//! Try, hear what is missing, gather that, try again.

use crate::bus::{Daemon, Failure, Who};
use crate::prompt::{Asker, Ready};
use crate::vault::{Handed, Vault};
use records::credentials::Permitted;
use records::keys::{AND_A_TOUCH, SECURITY_KEY, SMART_CARD};
use records::{Credentials, MachineId, Record, Refusal, Secret, Sections, recovery};
use serde_json::Value;

/// How often a new password may be mistyped.
const MISMATCHES: usize = 4;

/// What an empty answer to the question for a password is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// A password like others.
    IsTried,
    /// The wish to try again with what is plugged in by now.
    TriesAgain,
}

/// What comes back where nobody can be asked.
struct Unasked {
    failure: Failure,
    /// Whether the daemon had anything to judge.
    judged: bool,
}

impl Unasked {
    fn new(failure: Failure, tried: &Credentials) -> Self {
        let judged = !tried.passwords.is_empty() || tried.is_for_tokens();
        Self { failure, judged }
    }

    /// The daemon's reason tells more than ours, unless there was nothing it could judge.
    fn or(self, ours: Failure) -> Failure {
        if self.judged { self.failure } else { ours }
    }
}

/// What was said of the security key counts no longer.
fn forget_token(credentials: &mut Credentials) {
    let (passwords, new_pin) = (std::mem::take(&mut credentials.passwords), credentials.new_pin.take());
    *credentials = Credentials { passwords, new_pin, ..Credentials::default() };
}

/// Those who take part in a talk with homed.
pub struct Talk<'a> {
    /// Who is asked.
    pub asker: &'a dyn Asker,
    /// Who hands secrets over.
    pub vault: &'a dyn Vault,
    /// Whose home, for the questions.
    pub user: &'a str,
    /// Where the home is, if anybody knows.
    pub place: Option<Place<'a>>,
}

/// The machine, and who knows its homes.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// homed.
    pub daemon: &'a dyn Daemon,
    /// The machine.
    pub machine: &'a MachineId,
}

impl Place<'_> {
    fn record(&self, user: &str) -> Option<Record> {
        let reply = self.daemon.record(Who::Name(user)).ok()?;
        Record::parse(&reply.json, Sections::OWNER).ok()
    }

    /// Whether a PIN of this machine opens the home, too.
    fn has_pin(&self, user: &str) -> bool {
        self.record(user).is_some_and(|record| record.has_pin_on(self.machine))
    }

    /// Whether a PIN of a token can only be that of a security key that wants a touch after it.
    fn wants_a_touch(&self, user: &str) -> bool {
        let wants = |key: &Value| key["clientPin"] == true && key["up"] == true;
        self.record(user).is_some_and(|record| {
            let keys = record.keys_of(SECURITY_KEY.list);
            !keys.is_empty() && keys.iter().all(wants) && record.keys_of(SMART_CARD.list).is_empty()
        })
    }
}

impl Talk<'_> {
    /// Says that the key is to be touched after its PIN, and lets it wait for that.
    fn announce_touch(&self, credentials: &mut Credentials) {
        self.asker.notice("Touch the security key when it blinks.");
        credentials.user_presence = Permitted::Yes;
    }

    /// What can be offered without asking anybody.
    pub fn ready(&self) -> Credentials {
        let passwords = [Ready::Password, Ready::RecoveryKey]
            .into_iter()
            .filter_map(|what| self.asker.ready(what))
            .collect();
        let token_pins: Vec<Secret> = self.asker.ready(Ready::Pin).into_iter().collect();
        let mut ready = Credentials { passwords, token_pins, ..Credentials::default() };
        let by_pin = ready.passwords.is_empty() && !ready.token_pins.is_empty();
        if by_pin && self.place.is_some_and(|place| place.wants_a_touch(self.user)) {
            self.announce_touch(&mut ready);
        }
        ready
    }

    /// Repeats `attempt` with more and more credentials until homed is content, or wants what nobody can give.
    pub fn insist<T>(
        &self,
        credentials: &mut Credentials,
        mut attempt: impl FnMut(&Handed) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        loop {
            let handed = self.vault.hand(credentials)?;
            match attempt(&handed) {
                Ok(done) => return Ok(done),
                Err(failure) => {
                    drop(handed);
                    self.gather(failure, credentials)?;
                }
            }
        }
    }

    /// Gathers what the refusal asks for. A failure nobody can do anything about comes back.
    pub fn gather(&self, failure: Failure, credentials: &mut Credentials) -> Result<(), Failure> {
        let Failure::Refused(refusal, sentence) = failure.clone() else { return Err(failure) };
        let (sentence, unasked) = (&sentence, Unasked::new(failure.clone(), credentials));
        match refusal {
            Refusal::BadPassword | Refusal::BadPasswordAndNoToken => {
                let no_token = refusal == Refusal::BadPasswordAndNoToken;
                if unasked.judged || no_token {
                    self.asker.notice(sentence);
                }
                let or = if no_token { "; or plug in the security key, and press Enter" } else { "" };
                let again = if no_token { Empty::TriesAgain } else { Empty::IsTried };
                self.instead(unasked, (&format!("recovery key{or}"), again), credentials)
            }
            Refusal::BadRecoveryKey => {
                self.asker.notice(sentence);
                let question = format!("Recovery key of {}: ", self.user);
                self.password(unasked, (&question, Empty::IsTried), credentials)
            }
            Refusal::TokenPinNeeded
            | Refusal::BadPin
            | Refusal::BadPinFewTriesLeft
            | Refusal::BadPinOneTryLeft => {
                self.asker.notice(sentence);
                self.pin(unasked, credentials)?;
                if sentence.contains(AND_A_TOUCH) && !credentials.token_pins.is_empty() {
                    self.announce_touch(credentials);
                }
                Ok(())
            }
            Refusal::TokenProtectedAuthenticationPathNeeded => {
                self.permit(sentence.clone(), failure, credentials, |all| {
                    &mut all.protected_authentication_path
                })
            }
            Refusal::TokenUserPresenceNeeded => {
                self.permit(sentence.clone(), failure, credentials, |all| &mut all.user_presence)
            }
            Refusal::TokenUserVerificationNeeded => {
                self.permit(sentence.clone(), failure, credentials, |all| &mut all.user_verification)
            }
            // The password works without it.
            Refusal::TokenActionTimeout | Refusal::TokenPinLocked => {
                self.asker.notice(sentence);
                forget_token(credentials);
                self.instead(unasked, ("recovery key", Empty::TriesAgain), credentials)
            }
            _ => Err(failure),
        }
    }

    fn password(
        &self,
        unasked: Unasked,
        (question, empty): (&str, Empty),
        credentials: &mut Credentials,
    ) -> Result<(), Failure> {
        let typed = self.asker.ask(question).map_err(|ours| unasked.or(ours))?;
        if typed.is_empty() && empty == Empty::TriesAgain {
            return Ok(());
        }
        let password = recovery::normalize(typed.open()).unwrap_or(typed);
        credentials.passwords.insert(0, password);
        Ok(())
    }

    /// What can be typed without a token: the password, and the PIN of this computer where there is one.
    fn instead(
        &self,
        unasked: Unasked,
        (or, empty): (&str, Empty),
        credentials: &mut Credentials,
    ) -> Result<(), Failure> {
        if self.has_pin() {
            let question = format!("PIN of this computer, or password of {} (or {or}): ", self.user);
            return self.pin_or_password(unasked, (&question, empty), credentials);
        }
        let question = format!("Password of {} (or {or}): ", self.user);
        self.password(unasked, (&question, empty), credentials)
    }

    fn has_pin(&self) -> bool {
        self.place.is_some_and(|place| place.has_pin(self.user))
    }

    /// One of both: homed looks whether it is a password before it has the TPM look.
    fn pin_or_password(
        &self,
        unasked: Unasked,
        asked: (&str, Empty),
        credentials: &mut Credentials,
    ) -> Result<(), Failure> {
        let before = credentials.passwords.len();
        forget_token(credentials);
        self.password(unasked, asked, credentials)?;
        let typed = credentials.passwords.first().filter(|_| credentials.passwords.len() > before);
        credentials.computer_pin = typed.map(Secret::duplicate);
        Ok(())
    }

    /// A PIN; the password in its place, where the PIN is left empty.
    fn pin(&self, unasked: Unasked, credentials: &mut Credentials) -> Result<(), Failure> {
        let question = format!("PIN of the security token of {} (or Enter, for the password): ", self.user);
        let Ok(pin) = self.asker.ask(&question) else { return Err(unasked.failure) };
        forget_token(credentials);
        if pin.is_empty() {
            return self.instead(unasked, ("recovery key", Empty::IsTried), credentials);
        }
        credentials.token_pins = vec![pin];
        Ok(())
    }

    /// A permission is given once: asked again, it was not the answer. The password is possible instead, where a PIN or
    /// another permission has not shown yet that the key is to be used.
    fn permit(
        &self,
        sentence: String,
        failure: Failure,
        credentials: &mut Credentials,
        of: fn(&mut Credentials) -> &mut Permitted,
    ) -> Result<(), Failure> {
        if *of(credentials) == Permitted::Yes {
            return Err(failure);
        }
        let has_pin = self.has_pin();
        let what = if has_pin { "PIN of this computer, or password" } else { "Password" };
        let question = format!("{what} of {} (or Enter, to use the security token): ", self.user);
        let typed = match credentials.is_for_plugged_in() {
            true => None,
            // Where nobody can be asked somebody may touch it all the same, and agents would be waited for.
            false if !self.asker.is_at_terminal() => None,
            false => self.asker.ask(&question).ok().filter(|typed| !typed.is_empty()),
        };
        if let Some(typed) = typed {
            credentials.computer_pin = has_pin.then(|| typed.duplicate());
            credentials.passwords.insert(0, recovery::normalize(typed.open()).unwrap_or(typed));
            return Ok(());
        }
        self.asker.notice(&sentence);
        *of(credentials) = Permitted::Yes;
        Ok(())
    }

    /// A new password: what is there, or asked for twice.
    pub fn new_password(&self) -> Result<records::Secret, Failure> {
        if let Some(password) = self.asker.ready(Ready::NewPassword) {
            return Ok(password);
        }
        self.suggest();
        for _ in 0..MISMATCHES {
            let first = self.asker.ask(&format!("New password of {}: ", self.user))?;
            if first.is_empty() {
                self.asker.notice("It is empty. Try again.");
                continue;
            }
            let second = self.asker.ask("The same again: ")?;
            if first.matches(second.open()) {
                return Ok(first);
            }
            self.asker.notice("They are not the same. Try again.");
        }
        Err(Failure::say("The new password was mistyped too often. Nothing was changed."))
    }

    fn suggest(&self) {
        let suggestions = self.asker.suggestions();
        if suggestions.is_empty() {
            return;
        }
        let words: Vec<&str> = suggestions.iter().filter_map(Secret::open_text).collect();
        let text = Secret::from_text(format!("Password suggestions: {}", words.join(" ")));
        self.asker.notice(text.open_text().unwrap_or_default());
    }
}
