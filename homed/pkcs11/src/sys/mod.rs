//! p11-kit, loaded when it is needed: safe functions over it.

#![allow(unsafe_code)]

mod attributes;
mod library;
mod meaning;
mod session;

pub use library::Library;
