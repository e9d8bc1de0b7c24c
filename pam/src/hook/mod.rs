//! What each entry point does, over the traits [`crate::pam::Pam`] and [`crate::daemon::Daemon`].

pub mod account;
pub mod auth;
pub mod password;
pub mod session;

use ::pam::constants::PamResultCode;

/// How a hook ends; an `Err` says the same as an `Ok`, only earlier.
pub type Ended = Result<PamResultCode, PamResultCode>;
