//! The ground of the prompt: system calls and C libraries behind safe functions, and all of its `unsafe`.
#![allow(unsafe_code)]

pub mod memory;
pub mod pam;
pub mod time;
pub mod xkb;
