//! `pam_homed.so`: opens a user's home at login, checks the account, keeps the home open for the
//! session, changes the password.
//!
//! ```text
//! libpam ─→ lib.rs (six entry points, panics stop here) ─→ hook/ (what each does)
//!                                                            │ only over two traits
//!                        handle.rs: trait Pam ←──────────────┼──────→ daemon.rs: trait Daemon (sockets.rs)
//! ```
//!
//! A guest in `login`, `sshd`, `sudo`: no thread, no signal, no bus, nothing printed, no environment read, fixed paths
//! of sockets, and no system call outside of systemd's `@system-service`. Who is none of ours is not kept waiting, and
//! who is ours is never handed on to another module. Not here: locking at suspend, and any decision about a home.
#![allow(unsafe_code)] // The entry points that the macro makes.
#![allow(missing_docs)] // They are libpam's, and the macro writes no documentation.

mod acquire;
mod arguments;
mod ask;
mod daemon;
mod handle;
mod hook;
mod host;
mod memory;
mod pam;
mod sockets;
mod user;

#[cfg(test)]
mod tests;

use crate::arguments::Arguments;
use crate::handle::Handle;
use crate::sockets::Sockets;
use ::pam::constants::{PamFlag, PamResultCode};
use ::pam::module::{PamHandle, PamHooks};
use std::ffi::CStr;

struct Module;

// SAFETY: libpam calls the six functions with the handle and arguments its interface promises; the
// macro's functions check both and let no panic out.
::pam::pam_hooks!(Module);

/// PAM_PRELIM_CHECK of `_pam_types.h`: nothing is to be changed yet.
const PRELIMINARY: PamFlag = 0x4000;

impl PamHooks for Module {
    fn sm_authenticate(handle: &mut PamHandle, arguments: Vec<&CStr>, _flags: PamFlag) -> PamResultCode {
        run(handle, &arguments, |pam, daemon, arguments| hook::auth::authenticate(pam, daemon, arguments))
    }

    fn sm_setcred(handle: &mut PamHandle, arguments: Vec<&CStr>, _flags: PamFlag) -> PamResultCode {
        run(handle, &arguments, |pam, daemon, arguments| hook::auth::credentials(pam, daemon, arguments))
    }

    fn acct_mgmt(handle: &mut PamHandle, arguments: Vec<&CStr>, _flags: PamFlag) -> PamResultCode {
        run(handle, &arguments, |pam, daemon, arguments| hook::account::check(pam, daemon, arguments))
    }

    fn sm_open_session(handle: &mut PamHandle, arguments: Vec<&CStr>, _flags: PamFlag) -> PamResultCode {
        run(handle, &arguments, |pam, daemon, arguments| hook::session::open(pam, daemon, arguments))
    }

    fn sm_close_session(handle: &mut PamHandle, arguments: Vec<&CStr>, _flags: PamFlag) -> PamResultCode {
        run(handle, &arguments, |pam, daemon, arguments| hook::session::close(pam, daemon, arguments))
    }

    fn sm_chauthtok(handle: &mut PamHandle, arguments: Vec<&CStr>, flags: PamFlag) -> PamResultCode {
        let phase = if flags & PRELIMINARY == 0 {
            hook::password::Phase::Update
        } else {
            hook::password::Phase::Check
        };
        run(handle, &arguments, |pam, daemon, arguments| {
            hook::password::change(pam, daemon, arguments, phase)
        })
    }
}

/// Runs a hook with the real PAM and the real daemon.
fn run(
    handle: &mut PamHandle,
    arguments: &[&CStr],
    hook: impl FnOnce(&mut Handle<'_>, &mut Sockets, &Arguments) -> hook::Ended,
) -> PamResultCode {
    quiet();
    let mut pam = Handle::new(handle);
    let arguments = Arguments::read(arguments, &mut pam);
    let ended = hook(&mut pam, &mut Sockets, &arguments);
    ended.unwrap_or_else(|code| code)
}

/// A panic is answered with PAM_ABORT; its text has no place on the terminal of `login`. The hook is
/// this module's own: each library of Rust code brings its own runtime.
fn quiet() {
    std::panic::set_hook(Box::new(|_| {}));
}
