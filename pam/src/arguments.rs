//! The module's arguments in a PAM stack.

use crate::daemon::AtSuspend;
use crate::pam::Pam;
use std::ffi::CStr;

/// The variable by which a session says what becomes of its home at suspend.
const VARIABLE: &str = "SYSTEMD_HOME_SUSPEND";

/// What the stack and the session ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments {
    /// `suspend=BOOL`; else the session's variable; else the home is locked.
    pub suspend: AtSuspend,
    /// `first`: the module is the first of its stack to deal with passwords, and asks users of others for the new one:
    /// the modules that follow expect that somebody has.
    pub first: bool,
}

impl Arguments {
    /// Reads them. What is not understood is logged and passed over.
    pub fn read(words: &[&CStr], pam: &mut dyn Pam) -> Self {
        let (mut suspend, mut first) = (None, false);
        for word in words.iter().map(|word| word.to_string_lossy()) {
            match word.split_once('=') {
                Some(("suspend", value)) if boolean(value).is_some() => suspend = boolean(value),
                // The log says the same with and without it.
                Some(("debug", _)) => {}
                None if word == "debug" => {}
                None if word == "first" => first = true,
                _ => pam.log(&format!("unknown argument {word:?} is ignored")),
            }
        }
        let suspend = suspend.or_else(|| boolean(&pam.variable(VARIABLE)?)).unwrap_or(AtSuspend::Lock);
        Self { suspend, first }
    }
}

fn boolean(text: &str) -> Option<AtSuspend> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(AtSuspend::Lock),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(AtSuspend::Stay),
        _ => None,
    }
}
