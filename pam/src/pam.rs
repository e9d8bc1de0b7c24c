//! What a hook needs of PAM.

use ::pam::constants::PamResultCode;
use records::Secret;
use std::os::fd::OwnedFd;

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

/// PAM, as a hook sees it. Names of users are primary names, so that one reference serves all hooks.
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
    /// Whether a hook before this one has got a reference on the user's home.
    fn has_reference(&mut self, user: &str) -> bool;
    /// Keeps a reference until the session or the login ends.
    fn keep_reference(&mut self, user: &str, reference: OwnedFd) -> Result<(), PamResultCode>;
    /// Lets the reference go.
    fn drop_reference(&mut self, user: &str);
    /// Whether the process acts for root.
    fn is_root(&mut self) -> bool;
    /// Writes to the log of authentications. Never a secret.
    fn log(&mut self, text: &str);
}
