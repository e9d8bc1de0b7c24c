//! Whether polkit lets a caller do something.

use super::dbus::context::{Authorizing, Question};
use crate::daemon::link::Interactive;
use records::refusal::{Refusal, Refused};
use zbus::Message;
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

/// Asks polkit. Where it does not run, only root may.
pub fn authorize(question: Question) -> Authorizing {
    Box::pin(ask(question))
}

async fn ask(question: Question) -> Result<(), Refused> {
    let denied = |why: &str| Refused::new(Refusal::AccessDenied, why);
    let unreachable = |e: zbus::Error| {
        tracing::warn!("polkit cannot be asked about {}: {e}", question.action);
        denied("Polkit does not answer, so only root may do this; nothing was changed.")
    };
    let polkit = AuthorityProxy::new(&question.connection).await.map_err(unreachable)?;
    let subject = subject(&question.sender)
        .ok_or_else(|| denied("Your name on the bus cannot be told to polkit; nothing was changed."))?;
    let details = question.details.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let flags = match question.interactive {
        Interactive::Yes => CheckAuthorizationFlags::ALLOW_USER_INTERACTION,
        Interactive::No => CheckAuthorizationFlags::empty(),
    };
    let answer = polkit.check_authorization(&subject, question.action, &details, flags, "").await;
    let answer = answer.map_err(unreachable)?;
    if answer.is_authorized {
        Ok(())
    } else if answer.is_challenge {
        Err(denied("This needs an administrator's password, and nobody could be asked; nothing was changed."))
    } else {
        Err(denied("This is not allowed to you; nothing was changed."))
    }
}

/// The subject for a unique bus name. The library makes one from a message's header only, so this
/// makes a message that is never sent.
fn subject(sender: &str) -> Option<Subject> {
    let message = Message::method_call("/", "Ask").sender(sender.to_owned()).build(&()).ok()?;
    Subject::new_for_message_header(&message.header()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_made_of_a_unique_name_only() {
        assert_eq!(
            subject(":1.42").map(|subject| subject.kind().to_owned()).as_deref(),
            Some("system-bus-name")
        );
        assert!(subject("org.example.Name").is_none());
    }
}
