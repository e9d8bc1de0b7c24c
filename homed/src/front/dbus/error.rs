//! Refusals and faults as D-Bus errors.

use crate::daemon::link::Failure;
use records::Refusal;
use records::refusal::Refused;
use zbus::DBusError;
use zbus::message::{Header, Message};
use zbus::names::ErrorName;

/// An error on its way out.
#[derive(Debug)]
pub struct Error {
    name: &'static str,
    text: String,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refused) => refused.into(),
            Failure::Fault { .. } => {
                Self { name: "org.freedesktop.DBus.Error.Failed", text: failure.to_string() }
            }
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self { name: refused.refusal.bus_name(), text: refused.sentence }
    }
}

impl Error {
    /// An argument that cannot be taken.
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Refused::new(Refusal::InvalidArgs, sentence).into()
    }

    /// What is not built yet.
    pub fn not_yet(sentence: &str) -> Self {
        Refused::new(Refusal::NotSupported, sentence).into()
    }

    /// The bus or the loop did something that was not expected.
    pub fn unexpected(what: impl std::fmt::Display) -> Self {
        tracing::error!("D-Bus: {what}");
        Self {
            name: "org.freedesktop.DBus.Error.Failed",
            text: "It failed unexpectedly; the log has the causes: journalctl -u homed".into(),
        }
    }
}

impl From<Error> for zbus::fdo::Error {
    fn from(error: Error) -> Self {
        Self::Failed(error.text)
    }
}

impl DBusError for Error {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name()).build(&(self.text.as_str(),))
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.name)
    }

    fn description(&self) -> Option<&str> {
        Some(&self.text)
    }
}
