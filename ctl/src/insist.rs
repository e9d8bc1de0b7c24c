//! Try, hear what is missing, gather that, try again.

use crate::bus::Failure;
use crate::prompt::{Asker, Ready};
use crate::vault::{Handed, Vault};
use records::credentials::Permitted;
use records::{Credentials, Refusal, recovery};

/// How often a new password may be mistyped.
const MISMATCHES: usize = 4;

/// Those who take part in a talk with homed.
pub struct Talk<'a> {
    /// Who is asked.
    pub asker: &'a dyn Asker,
    /// Who hands secrets over.
    pub vault: &'a dyn Vault,
    /// Whose home, for the questions.
    pub user: &'a str,
}

impl Talk<'_> {
    /// What can be offered without asking anybody.
    pub fn ready(&self) -> Credentials {
        let passwords = [Ready::Password, Ready::RecoveryKey]
            .into_iter()
            .filter_map(|what| self.asker.ready(what))
            .collect();
        Credentials {
            passwords,
            token_pins: self.asker.ready(Ready::Pin).into_iter().collect(),
            ..Credentials::default()
        }
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
        let Failure::Refused(refusal, sentence) = &failure else { return Err(failure) };
        match refusal {
            Refusal::BadPassword | Refusal::BadPasswordAndNoToken => {
                if !credentials.passwords.is_empty() || *refusal == Refusal::BadPasswordAndNoToken {
                    self.asker.notice(sentence);
                }
                self.password(failure, &format!("Password of {} (or recovery key): ", self.user), credentials)
            }
            Refusal::BadRecoveryKey => {
                self.asker.notice(sentence);
                self.password(failure, &format!("Recovery key of {}: ", self.user), credentials)
            }
            Refusal::TokenPinNeeded
            | Refusal::BadPin
            | Refusal::BadPinFewTriesLeft
            | Refusal::BadPinOneTryLeft => {
                if *refusal != Refusal::TokenPinNeeded {
                    self.asker.notice(sentence);
                }
                let pin = self
                    .asker
                    .ask(&format!("PIN of the security token of {}: ", self.user))
                    .map_err(|_| failure)?;
                credentials.token_pins = vec![pin];
                Ok(())
            }
            Refusal::TokenProtectedAuthenticationPathNeeded => self.permit(
                failure,
                "Type the PIN on the security token.",
                &mut credentials.protected_authentication_path,
            ),
            Refusal::TokenUserPresenceNeeded => {
                self.permit(failure, "Touch the security token.", &mut credentials.user_presence)
            }
            Refusal::TokenUserVerificationNeeded => self.permit(
                failure,
                "Verify yourself on the security token.",
                &mut credentials.user_verification,
            ),
            _ => Err(failure),
        }
    }

    fn password(
        &self,
        failure: Failure,
        question: &str,
        credentials: &mut Credentials,
    ) -> Result<(), Failure> {
        // If nobody can be asked, the daemon's reason tells more than ours.
        let typed = self.asker.ask(question).map_err(|_| failure)?;
        let password = recovery::normalize(typed.open()).unwrap_or(typed);
        credentials.passwords.insert(0, password);
        Ok(())
    }

    /// A permission is given once: asked again, it was not the answer.
    fn permit(&self, failure: Failure, text: &str, permitted: &mut Permitted) -> Result<(), Failure> {
        if *permitted == Permitted::Yes {
            return Err(failure);
        }
        self.asker.notice(text);
        *permitted = Permitted::Yes;
        Ok(())
    }

    /// A new password: what is there, or asked for twice.
    pub fn new_password(&self) -> Result<records::Secret, Failure> {
        if let Some(password) = self.asker.ready(Ready::NewPassword) {
            return Ok(password);
        }
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
}
