//! uid
