//! The PAM stack `homed-unlock`, from the application's side.

use records::Secret;
use std::ffi::{CStr, CString, c_char, c_int, c_void};

/// Whoever talks with the person.
pub trait Conversation {
    /// Asks; `None`: there is nobody any more.
    fn ask(&mut self, question: &str, echo: Echo) -> Option<Secret>;
    /// Tells.
    fn tell(&mut self, text: &str);
}

/// Whether what is typed is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It is not.
    Off,
    /// It is.
    On,
}

// security/_pam_types.h.
const PROMPT_ECHO_OFF: c_int = 1;
const PROMPT_ECHO_ON: c_int = 2;
const SUCCESS: c_int = 0;
const BUF_ERR: c_int = 5;
const CONV_ERR: c_int = 19;
const TTY: c_int = 3;
/// Most questions at once (PAM_MAX_NUM_MSG).
const MOST: c_int = 32;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

#[repr(C)]
struct Conv {
    // SAFETY: only libpam calls it, as pam_conv(3) says.
    call: unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int,
    data: *mut c_void,
}

// SAFETY: the declarations are those of security/pam_appl.h.
#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conv: *const Conv,
        handle: *mut *mut c_void,
    ) -> c_int;
    fn pam_end(handle: *mut c_void, status: c_int) -> c_int;
    fn pam_authenticate(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_set_item(handle: *mut c_void, item: c_int, value: *const c_void) -> c_int;
    fn pam_strerror(handle: *mut c_void, code: c_int) -> *const c_char;
}

/// Has the user prove who he is, which unlocks his home; else PAM's words.
pub fn authenticate(user: &str, terminal: &str, conversation: &mut dyn Conversation) -> Result<(), String> {
    let (user, terminal) = (CString::new(user).map_err(|e| e.to_string())?, CString::new(terminal));
    let terminal = terminal.map_err(|e| e.to_string())?;
    let mut conversation: &mut dyn Conversation = conversation;
    let conv = Conv { call: converse, data: std::ptr::from_mut(&mut conversation).cast() };
    let mut handle = std::ptr::null_mut();
    // SAFETY: the strings and the conversation live until pam_end below; the handle is libpam's to set.
    let begun = unsafe { pam_start(c"homed-unlock".as_ptr(), user.as_ptr(), &conv, &mut handle) };
    if begun != SUCCESS {
        return Err("PAM cannot be started".into());
    }
    // SAFETY: the handle is the one that was started, not yet ended; PAM copies the item.
    let code = unsafe {
        pam_set_item(handle, TTY, terminal.as_ptr().cast());
        pam_authenticate(handle, 0)
    };
    // SAFETY: as above; the text is a constant of libpam, read before the end.
    let text = unsafe { CStr::from_ptr(pam_strerror(handle, code)) }.to_string_lossy().into_owned();
    // SAFETY: as above; nothing uses the handle afterwards.
    unsafe { pam_end(handle, code) };
    if code == SUCCESS { Ok(()) } else { Err(text) }
}

/// libpam's questions, as pam_conv(3) has them.
///
/// # Safety
/// Called by libpam with `count` messages and the pointer that `authenticate` gave.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let Ok(length) = usize::try_from(count.clamp(0, MOST)) else { return CONV_ERR };
    // SAFETY: it is what `authenticate` gave, alive until its pam_end, and used by nobody else meanwhile.
    let conversation = unsafe { &mut *data.cast::<&mut dyn Conversation>() };
    // SAFETY: memory for libpam to free, zeroed: all pointers in it are null.
    let answers = unsafe { libc::calloc(length.max(1), size_of::<Response>()) }.cast::<Response>();
    if answers.is_null() {
        return BUF_ERR;
    }
    for index in 0..length {
        // SAFETY: libpam on Linux gives an array of pointers to messages with NUL-terminated texts.
        let (style, text) = unsafe {
            let message = &**messages.add(index);
            (message.style, CStr::from_ptr(message.text).to_string_lossy())
        };
        let echo = match style {
            PROMPT_ECHO_OFF => Echo::Off,
            PROMPT_ECHO_ON => Echo::On,
            _ => {
                conversation.tell(&text);
                continue;
            }
        };
        let answer = conversation.ask(&text, echo).and_then(|answer| copy(&answer));
        let Some(answer) = answer else {
            // SAFETY: what was allocated above, and nobody has seen.
            unsafe { discard(answers, index) };
            return CONV_ERR;
        };
        // SAFETY: within the array allocated above.
        unsafe { (*answers.add(index)).text = answer };
    }
    // SAFETY: libpam's place for the answers.
    unsafe { *responses = answers };
    SUCCESS
}

/// A copy that libpam overwrites and frees.
fn copy(answer: &Secret) -> Option<*mut c_char> {
    let bytes = answer.open();
    if bytes.contains(&0) {
        return None;
    }
    // SAFETY: room for the bytes and the NUL, which calloc has put there.
    unsafe {
        let place = libc::calloc(bytes.len() + 1, 1).cast::<u8>();
        if place.is_null() {
            return None;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
        Some(place.cast())
    }
}

/// # Safety
/// `answers` has at least `count` entries, each null or made by [`copy`].
unsafe fn discard(answers: *mut Response, count: usize) {
    for index in 0..count {
        // SAFETY: within the array; the text is overwritten in its own length before it is freed.
        unsafe {
            let text = (*answers.add(index)).text;
            if !text.is_null() {
                libc::explicit_bzero(text.cast(), libc::strlen(text));
                libc::free(text.cast());
            }
        }
    }
    // SAFETY: it was allocated by calloc.
    unsafe { libc::free(answers.cast()) };
}
