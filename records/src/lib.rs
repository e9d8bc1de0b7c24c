//! The JSON user record and the words all programs share.
