//! The real PAM: what `pam-bindings` has, and the C functions it lacks.
#![allow(unsafe_code)]

use crate::memory::Memory;
use crate::pam::{Pam, Say, Seat, Token};
use ::pam::constants::{PAM_ERROR_MSG, PAM_PROMPT_ECHO_OFF, PAM_TEXT_INFO, PamResultCode};
use ::pam::conv::Conv;
use ::pam::items::{AuthTok, OldAuthTok, Service, Tty, User};
use ::pam::module::PamHandle;
use records::Secret;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::rc::Rc;

/// Items of `_pam_types.h`.
const PAM_AUTHTOK: c_int = 6;
const PAM_OLDAUTHTOK: c_int = 7;
const PAM_XDISPLAY: c_int = 11;
/// Under which name the memory is kept; the version of its type is in the name.
const MEMORY: &str = "homed-memory-2";
/// LOG_NOTICE | LOG_AUTHPRIV of syslog.h.
const PRIORITY: c_int = 5 | (10 << 3);

// SAFETY: names and types are those of security/pam_modules.h and pam_ext.h; the handle is only ever a pointer
// that libpam gave us.
#[link(name = "pam")]
unsafe extern "C" {
    fn pam_getenv(handle: *mut PamHandle, name: *const c_char) -> *const c_char;
    fn pam_putenv(handle: *mut PamHandle, assignment: *const c_char) -> c_int;
    fn pam_set_item(handle: *mut PamHandle, item: c_int, value: *const c_void) -> c_int;
    fn pam_get_item(handle: *const PamHandle, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_get_authtok(
        handle: *mut PamHandle,
        item: c_int,
        token: *mut *const c_char,
        prompt: *const c_char,
    ) -> c_int;
    fn pam_syslog(handle: *const PamHandle, priority: c_int, format: *const c_char, ...);
}

/// PAM's handle for one call of a hook.
pub struct Handle<'a>(&'a mut PamHandle);

impl<'a> Handle<'a> {
    /// Around libpam's own.
    pub fn new(handle: &'a mut PamHandle) -> Self {
        Self(handle)
    }

    fn send(&mut self, style: c_int, text: &str) -> Result<Option<Secret>, PamResultCode> {
        let conversation: Conv<'_> = self.0.get_item()?.ok_or(PamResultCode::PAM_CONV_ERR)?;
        let reply = conversation.send(style, text)?;
        Ok(reply.map(|reply| Secret::new(reply.as_bytes().to_vec())))
    }

    /// Whether the program names an X display.
    fn has_display(&self) -> bool {
        let mut value: *const c_void = std::ptr::null();
        // SAFETY: the handle is alive; libpam writes a pointer to memory of its own, which is not followed here.
        let done = code(unsafe { pam_get_item(self.0, PAM_XDISPLAY, &raw mut value) });
        done.is_ok() && !value.is_null()
    }

    /// Whether systemd, which begins a service, has its password: then its conversation function answers. PAM's
    /// environment is that of the service.
    fn has_answer(&mut self) -> bool {
        let service = self.0.get_item::<Service<'_>>().ok().flatten();
        let service = service.and_then(|name| name.to_str().map(str::to_owned).ok());
        let folder = self.variable("CREDENTIALS_DIRECTORY");
        let (Some(service), Some(folder)) = (service, folder) else { return false };
        !service.contains('/') && Path::new(&folder).join(format!("pam.authtok.{service}")).exists()
    }
}

fn text(value: &str) -> Result<CString, PamResultCode> {
    CString::new(value).map_err(|_| PamResultCode::PAM_BUF_ERR)
}

fn code(value: c_int) -> Result<(), PamResultCode> {
    match PamResultCode::try_from(value) {
        Ok(PamResultCode::PAM_SUCCESS) => Ok(()),
        Ok(code) => Err(code),
        Err(_) => Err(PamResultCode::PAM_SYSTEM_ERR),
    }
}

impl Pam for Handle<'_> {
    fn user(&mut self) -> Result<String, PamResultCode> {
        self.0.get_user(None)
    }

    fn set_user(&mut self, name: &str) -> Result<(), PamResultCode> {
        let name = text(name)?;
        self.0.set_item_str(User(&name))
    }

    fn ask(&mut self, question: &str) -> Result<Secret, PamResultCode> {
        // An application that cannot ask fails in several ways; for us it is one.
        let reply = self.send(PAM_PROMPT_ECHO_OFF, question).map_err(|_| PamResultCode::PAM_CONV_ERR)?;
        reply.ok_or(PamResultCode::PAM_CONV_ERR)
    }

    fn say(&mut self, how: Say, text: &str) {
        let style = if how == Say::Error { PAM_ERROR_MSG } else { PAM_TEXT_INFO };
        // Who cannot show it has at least the code.
        let _ = self.send(style, text);
    }

    fn token(&mut self, which: Token) -> Option<Secret> {
        let bytes = match which {
            Token::Current => self.0.get_item::<AuthTok<'_>>().ok()??.as_bytes().to_vec(),
            Token::Old => self.0.get_item::<OldAuthTok<'_>>().ok()??.as_bytes().to_vec(),
        };
        Some(Secret::new(bytes))
    }

    fn set_token(&mut self, which: Token, token: &Secret) -> Result<(), PamResultCode> {
        let item = if which == Token::Current { PAM_AUTHTOK } else { PAM_OLDAUTHTOK };
        let mut bytes = Vec::with_capacity(token.open().len() + 1);
        bytes.extend_from_slice(token.open());
        bytes.push(0);
        let bytes = Secret::new(bytes);
        let token = CStr::from_bytes_with_nul(bytes.open()).map_err(|_| PamResultCode::PAM_BUF_ERR)?;
        // SAFETY: the handle is libpam's and alive; the text ends with NUL and libpam copies it.
        code(unsafe { pam_set_item(self.0, item, token.as_ptr().cast()) })
    }

    fn new_token(&mut self) -> Result<Secret, PamResultCode> {
        let mut token: *const c_char = std::ptr::null();
        // SAFETY: the handle is alive; libpam writes a pointer to memory of its own, or leaves it null.
        code(unsafe { pam_get_authtok(self.0, PAM_AUTHTOK, &raw mut token, std::ptr::null()) })?;
        if token.is_null() {
            return Err(PamResultCode::PAM_AUTHTOK_ERR);
        }
        // SAFETY: on success it is a text that ends with NUL and stays until the item is set again.
        Ok(Secret::new(unsafe { CStr::from_ptr(token) }.to_bytes().to_vec()))
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        let name = CString::new(name).ok()?;
        // SAFETY: the handle is alive and the name ends with NUL.
        let value = unsafe { pam_getenv(self.0, name.as_ptr()) };
        if value.is_null() {
            return None;
        }
        // SAFETY: not null, so a text of libpam's that ends with NUL; it is copied before anything changes it.
        Some(unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned())
    }

    fn set_variable(&mut self, name: &str, value: &str) -> Result<(), PamResultCode> {
        let assignment = text(&format!("{name}={value}"))?;
        // SAFETY: the handle is alive; libpam copies the text, which ends with NUL.
        code(unsafe { pam_putenv(self.0, assignment.as_ptr()) })
    }

    fn seat(&mut self) -> Seat {
        let terminal = self.0.get_item::<Tty<'_>>().ok().flatten().map(|tty| tty.to_bytes().to_vec());
        match terminal.as_deref() {
            Some(b"ssh") => Seat::Ssh,
            Some(tty) if !tty.is_empty() => Seat::Here,
            _ if self.has_display() => Seat::Here,
            _ if self.has_answer() => Seat::Answered,
            _ => Seat::None,
        }
    }

    fn memory(&mut self) -> Rc<RefCell<Memory>> {
        // SAFETY: under this name nobody but the lines below stores anything, always this type.
        if let Ok(kept) = unsafe { self.0.get_data::<Rc<RefCell<Memory>>>(MEMORY) } {
            return Rc::clone(kept);
        }
        let fresh = Rc::<RefCell<Memory>>::default();
        // Where it cannot be kept, this hook has it at least.
        let _ = self.0.set_data(MEMORY, Box::new(Rc::clone(&fresh)));
        fresh
    }

    fn is_root(&mut self) -> bool {
        rustix::process::getuid().is_root()
    }

    fn log(&mut self, message: &str) {
        let Ok(message) = text(&message.replace('\0', " ")) else { return };
        // SAFETY: the handle is alive; the format takes exactly one text, which ends with NUL.
        unsafe { pam_syslog(self.0, PRIORITY, c"%s".as_ptr(), message.as_ptr()) };
    }
}
