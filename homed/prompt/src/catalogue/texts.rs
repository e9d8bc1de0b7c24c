//! Every text there is, in English, each with a word to translators. A text that is not here cannot be said: only this file makes
//! an [`Id`]. After a change, `HOMED_GOLDEN=write` has the test write `po/homed-prompt.pot` anew.

use super::text::Id;

macro_rules! texts {
    ($($(#[doc = $about:literal])+ $name:ident = $english:literal;)+) => {
        $($(#[doc = $about])+ pub const $name: Id = Id::new($english);)+

        /// All of ours, with what translators are told.
        #[cfg(test)]
        pub const OURS: &[(Id, &str)] = &[$(($name, concat!($($about),+))),+];
    };
}

texts! {
    /// A row of the list of locked users; {since} is a time of day, with a date in front if it is not today's.
    LOCKED_SINCE = "{user} is locked since {since}";
    /// Beside the keyboard's layout.
    CAPS_LOCK = "Caps Lock is on";
    /// {layout} is a name (us, de …), and the letters of the keyboard's upper row.
    KEYBOARD = "Keyboard: {layout}";
    /// In the place of the question, while the password is looked at.
    CHECKING = "Checking …";
    /// What was typed is longer than any password.
    TOO_LONG = "That is too long.";
    /// In the place of the question, below why it failed.
    ENTER_AGAIN = "Press Enter to try again.";
    /// {why} is a reason, as PAM gives it.
    STILL_LOCKED = "Still locked: {why}.";
    /// Ten seconds before.
    SLEEPS_SOON = "Nobody types: the machine sleeps again in {seconds} s. Any key keeps it awake.";
    /// After the name of a key (Tab): very short.
    KEY_USER = "another user";
    /// After the name of a key (F2): very short. Somebody else logs in.
    KEY_LOGIN = "other login";
    /// After the name of a key (F3): very short. The machine sleeps.
    KEY_SLEEP = "sleep";
    /// After the name of a key (F4): very short. The machine starts again.
    KEY_RESTART = "restart";
    /// After the name of a key (F5): very short.
    KEY_OFF = "power off";
    /// After the name of a key (F6): very short. What is typed is shown.
    KEY_SHOW = "show";
    /// After the name of a key (F7): very short. The keyboard gets another layout.
    KEY_LAYOUT = "keyboard";
    /// {layout} is a name (de …).
    NO_LAYOUT = "The keyboard layout {layout} cannot be loaded: {why}.";
    /// F4 was pressed once.
    AGAIN_RESTART = "Press F{number} again to restart the machine. Work that is not saved is lost.";
    /// F5 was pressed once.
    AGAIN_OFF = "Press F{number} again to power it off. Work that is not saved is lost.";
    /// {why}: which program keeps the machine from it, and for what reason.
    CANNOT_LOGIN = "Cannot let another user log in: {why}.";
    /// {why}: which program keeps the machine from it, and for what reason.
    CANNOT_SLEEP = "Cannot sleep: {why}.";
    /// {why}: which program keeps the machine from it, and for what reason.
    CANNOT_RESTART = "Cannot restart the machine: {why}.";
    /// {why}: which program keeps the machine from it, and for what reason.
    CANNOT_OFF = "Cannot power it off: {why}.";
    /// A line on a serial terminal, before the password is asked for.
    LINE_LOCKED = "{user} is locked: the key of the home is not in memory.";
    /// A line on a serial terminal, after it.
    LINE_UNLOCKED = "{user} is unlocked.";
    /// A line on a serial terminal.
    LINE_ELSEWHERE = "{user} was unlocked elsewhere.";
    /// The question of the menu on a serial terminal: what is to be done.
    LINE_UNLOCK = "Unlock:";
    /// The answer to it was the name of nobody who is locked.
    LINE_NOBODY = "Nobody of that name is locked here.";
    /// The head of the menu on a serial terminal.
    MENU_LOCKED = "Locked: {names}";
    /// In the menu: the name of the key.
    MENU_ENTER = "Enter";
    /// In the menu: what that key does.
    MENU_UNLOCK = "unlock {user}";
    /// In the menu: what can be typed.
    MENU_NAME = "a name";
    /// In the menu: what that does.
    MENU_OTHER = "unlock another";
    /// In the menu, behind the word `sleep`, which is typed as it is.
    MENU_SLEEP = "put the machine to sleep again";
    /// In the menu, behind the word `off`, which is typed as it is.
    MENU_OFF = "shut it down";
    /// For programs that ask in our place (Plymouth); {question} is one of those below.
    AGENTS = "{question} (home of {user} is locked):";
}

macro_rules! of_pam {
    ($($english:literal),+ $(,)?) => {
        /// What PAM asks and tells at the prompt, as its sources have it: the module of homed, what the daemon says through it,
        /// and libpam itself.
        pub const OF_PAM: &[(Id, &str)] = &[$((Id::new($english), "PAM")),+];
    };
}

of_pam![
    // Questions.
    "Password:",
    "Sorry, try again:",
    "Recovery key:",
    "Sorry, reenter recovery key:",
    "Password (or insert the token, and press Enter):",
    "Password (or Enter, to try the token again):",
    "Password (or Enter, to use the security token):",
    "Security token PIN (or Enter, for the password):",
    "Sorry, retry security token PIN (or Enter, for the password):",
    "PIN of this computer or password:",
    "PIN of this computer or password (or insert the token, and press Enter):",
    "PIN of this computer or password (or Enter, to try the token again):",
    "PIN of this computer or password (or Enter, to use the security token):",
    "Sorry, try again (PIN or password):",
    // What the module tells.
    "Password incorrect or not sufficient for authentication of user {user}.",
    "Recovery key incorrect or not sufficient for authentication of user {user}.",
    "Security token of user {user} not inserted.",
    "Password incorrect, and security token of user {user} not inserted.",
    "Security token PIN incorrect for user {user}.",
    "Security token PIN incorrect for user {user} (only a few tries left!).",
    "Security token PIN incorrect for user {user} (one try left!).",
    "Please touch the security token of user {user}.",
    "Please verify yourself on the security token of user {user}.",
    "Please authenticate on the security token of user {user}.",
    "The home of user {user} is not available: {text}",
    "The home of user {user} is not available: the service that opens it does not answer.",
    "Nothing was changed. Try again in a moment; an administrator sees more with: systemctl status homed",
    "Too many unsuccessful login attempts for user {user}, refusing.",
    "Plug in the storage it is on, then log in again.",
    "Close it there first.",
    "Unlock it first.",
    "Try again in a moment.",
    "Ask an administrator; nothing was changed.",
    "Ask an administrator to make room.",
    "An administrator can trust its key: homectl add-signing-key.",
    // What the daemon answers to an unlock.
    "No home by that name is known.",
    "The home's storage is not there.",
    "The home is busy.",
    "The home is locked.",
    "The home is in use elsewhere.",
    "The home's storage is damaged; nothing was changed.",
    "The password is not right, or not sufficient.",
    "The password is not right, and no security token is plugged in.",
    "The recovery key is not right, or missing.",
    "The user record holds nothing to authenticate with.",
    "The user record is not signed by a key this machine trusts.",
    "There is not enough disk space.",
    "Too many attempts: try again later.",
    "Too many operations are waiting.",
    "The security token waited in vain.",
    "The security token's PIN is locked.",
    "The PIN of the security key {key} is locked.",
    "Nobody has touched the security key {key} in time.",
    "The PIN of the smart card {card} is locked.",
    "Type the PIN of the smart card {card} on its reader's pad.",
    // Ours, as the reason for something else.
    "every terminal has a session",
    "there is no such layout",
    "libxkbcommon is not installed",
    // libpam's names for how it ended (pam_strerror(3)).
    "Authentication failure",
    "Permission denied",
    "Have exhausted maximum number of retries for service",
    "Authentication service cannot retrieve authentication info",
    "User not known to the underlying authentication module",
    "Conversation error",
];
