//! Which signal is about this user, and what is said then. No IO.

use records::UserName;
use records::span::show_span;
use zbus::message::Message;

const INTERFACE: &str = "org.freedesktop.home1.LockPolicy";
/// It stays until somebody has read it.
const STAYS: i32 = 0;
/// So long before it comes, a lock is told of, in ms: afterwards it is of no use.
const A_MINUTE: i32 = 60_000;

/// A notification.
#[derive(Debug, PartialEq, Eq)]
pub struct Notice {
    /// In one line; of each there is one at a time.
    pub summary: &'static str,
    /// What happened, and what can be done.
    pub body: String,
    /// How loud.
    pub urgency: Urgency,
    /// How long it is shown; 0: until somebody has read it.
    pub milliseconds: i32,
}

/// How loud something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// As all else.
    Normal,
    /// Before all else.
    Critical,
}

/// What is said to that user; `None`: nothing that concerns it.
pub fn notice(message: &Message, user: &UserName) -> Option<Notice> {
    let header = message.header();
    if header.interface()? != INTERFACE {
        return None;
    }
    let body = message.body();
    let is_own = |name: &str| name == user.as_str();
    match header.member()?.as_str() {
        "LockComing" => {
            let (name, _): (String, u64) = body.deserialize().ok()?;
            is_own(&name).then(lock_coming)
        }
        "NotLocked" => {
            let (name, _): (String, String) = body.deserialize().ok()?;
            is_own(&name).then(not_locked)
        }
        "SleepRefused" => Some(sleep_refused()),
        "SleptOpen" => {
            let (names, usec): (Vec<String>, u64) = body.deserialize().ok()?;
            names.iter().any(|name| is_own(name)).then(|| slept_open(usec))
        }
        _ => None,
    }
}

fn lock_coming() -> Notice {
    Notice {
        summary: "Your home will be locked in a minute",
        body: "Nothing was touched for a while. Press a key to keep it open.".into(),
        urgency: Urgency::Normal,
        milliseconds: A_MINUTE,
    }
}

fn not_locked() -> Notice {
    Notice {
        summary: "Your home could not be locked",
        body: "Its key is still in memory. Nothing was lost. To see why, type: homectl security".into(),
        urgency: Urgency::Critical,
        milliseconds: STAYS,
    }
}

fn sleep_refused() -> Notice {
    Notice {
        summary: "The computer stays awake",
        body: "Not every home could be locked before it went to sleep. To see whose, type: homectl security"
            .into(),
        urgency: Urgency::Critical,
        milliseconds: STAYS,
    }
}

fn slept_open(usec: u64) -> Notice {
    let span = show_span(usec / 1_000_000 * 1_000_000);
    Notice {
        summary: "The computer slept with your home open",
        body: format!("Its key was in memory for {span}. To see why, type: homectl security"),
        urgency: Urgency::Critical,
        milliseconds: STAYS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal<B: serde::Serialize + zbus::wire::DynamicType>(member: &str, body: &B) -> Message {
        let builder = Message::signal("/org/freedesktop/home1", INTERFACE, member);
        builder.build(body).expect("valid")
    }

    #[test]
    fn only_what_concerns_the_user_is_said() {
        let alice = UserName::parse("alice").expect("valid");
        let said = |message: &Message| notice(message, &alice).map(|notice| notice.summary);
        let coming = |name: &str| signal("LockComing", &(name, 7_u64));
        assert_eq!(said(&coming("alice")), Some("Your home will be locked in a minute"));
        assert_eq!(said(&coming("bob")), None);
        let not_locked = |name: &str| signal("NotLocked", &(name, "a reason"));
        assert_eq!(said(&not_locked("alice")), Some("Your home could not be locked"));
        assert_eq!(said(&not_locked("bob")), None);
        assert_eq!(said(&signal("SleepRefused", &())), Some("The computer stays awake"));
        let slept = |names: &[&str]| signal("SleptOpen", &(names, 90_000_000_u64));
        assert_eq!(said(&slept(&["bob"])), None);
        let told = notice(&slept(&["bob", "alice"]), &alice).expect("told");
        assert!(told.body.contains("1min 30s"), "{}", told.body);
        // What it does not know, and what is not as it should be.
        assert_eq!(said(&signal("Else", &("alice", 7_u64))), None);
        assert_eq!(said(&signal("LockComing", &("alice",))), None);
        let foreign = Message::signal("/", "org.example.Other", "NotLocked");
        assert_eq!(said(&foreign.build(&("alice", "a reason")).expect("valid")), None);
    }
}
