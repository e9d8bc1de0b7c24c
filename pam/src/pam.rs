//! What a hook needs of PAM.

use crate::memory::Memory;
use ::pam::constants::PamResultCode;
use records::Secret;
use std::cell::RefCell;
use std::rc::Rc;

/// How a message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// For information.
    Info,
    /// Something went wrong.
    Error,
}

/// Which password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// PAM_AUTHTOK.
    Current,
    /// PAM_OLDAUTHTOK.
    Old,
}

/// Where the user sits, as the program says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// Nowhere: a service, a job.
    None,
    /// Nowhere either, and the password was left for the service: systemd answers with its credential
    /// `pam.authtok.SERVICE` (systemd.system-credentials(7)), and asks nobody.
    Answered,
    /// At the other end of sshd, which compares PAM_USER with the name that was typed, and asks for proof in a child
    /// process that is gone when the session begins.
    Ssh,
    /// At a terminal or a screen.
    Here,
}

/// PAM, as a hook sees it.
pub trait Pam {
    /// PAM_USER, asked for where it is not set.
    fn user(&mut self) -> Result<String, PamResultCode>;
    /// Sets PAM_USER.
    fn set_user(&mut self, name: &str) -> Result<(), PamResultCode>;
    /// Asks without showing what is typed.
    fn ask(&mut self, question: &str) -> Result<Secret, PamResultCode>;
    /// Tells the user.
    fn say(&mut self, how: Say, text: &str);
    /// A password that another module or hook has got already.
    fn token(&mut self, which: Token) -> Option<Secret>;
    /// Leaves a password for the modules that follow.
    fn set_token(&mut self, which: Token, token: &Secret) -> Result<(), PamResultCode>;
    /// The new password, asked for twice by PAM's own rules.
    fn new_token(&mut self) -> Result<Secret, PamResultCode>;
    /// A variable of the session to be.
    fn variable(&mut self, name: &str) -> Option<String>;
    /// Sets one.
    fn set_variable(&mut self, name: &str, value: &str) -> Result<(), PamResultCode>;
    /// Where the user sits.
    fn seat(&mut self) -> Seat;
    /// What is remembered between hooks.
    fn memory(&mut self) -> Rc<RefCell<Memory>>;
    /// Whether the process acts for root.
    fn is_root(&mut self) -> bool;
    /// Writes to the log of authentications. Never a secret.
    fn log(&mut self, text: &str);
}
