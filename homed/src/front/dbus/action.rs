//! Polkit actions.

/// Create, register, adopt, realize.
pub const CREATE: &str = "org.freedesktop.home1.create-home";
/// Remove, unregister.
pub const REMOVE: &str = "org.freedesktop.home1.remove-home";
/// Check credentials.
pub const AUTHENTICATE: &str = "org.freedesktop.home1.authenticate-home";
/// Change the record.
pub const UPDATE: &str = "org.freedesktop.home1.update-home";
/// Change of one's own record what it lets its user change.
pub const UPDATE_BY_OWNER: &str = "org.freedesktop.home1.update-home-by-owner";
/// Change the size.
pub const RESIZE: &str = "org.freedesktop.home1.resize-home";
/// Change the password.
pub const PASSWD: &str = "org.freedesktop.home1.passwd-home";
/// Mount.
pub const ACTIVATE: &str = "org.freedesktop.home1.activate-home";
/// Leave a home out of locks.
pub const INHIBIT: &str = "org.freedesktop.home1.inhibit-lock";
/// Add and remove keys.
pub const KEYS: &str = "org.freedesktop.home1.manage-signing-keys";
