//! Every system call, ioctl and C library, one file per neighbour: safe functions, no policy.
//!
//! The only place of the daemon with `unsafe`. Errors are `io::Error`, except where a library has
//! more to say ([`cryptsetup::Error`], [`process::ToolFailed`]).

#![allow(unsafe_code)]

pub mod accounts;
pub mod apart;
pub mod beneath;
pub mod blockdev;
pub mod bounded;
pub mod btrfs;
pub mod buddy;
pub mod clock;
pub mod crypt3;
pub mod cryptsetup;
pub mod devices;
pub mod devmapper;
pub mod durable;
pub mod environment;
pub mod extents;
pub mod file;
pub mod filesystem;
pub mod fscrypt;
pub mod handed;
pub mod holders;
pub mod input;
pub mod ipc;
pub mod keeps;
pub mod keyring;
pub mod limits;
pub mod loopdev;
pub mod mapped_files;
pub mod memory;
pub mod mount;
pub mod notices;
pub mod oom;
pub mod pageout;
pub mod passed;
pub mod probe;
pub mod process;
pub mod procfs;
pub mod reactor;
pub mod reclaim;
pub mod rights;
pub mod running;
pub mod seats;
pub mod servers;
pub mod setting;
pub mod shared;
pub mod slice;
pub mod snapshot;
pub mod subvolume;
pub mod swap;
pub mod terminal;
pub mod udev;
pub mod unwiped;
pub mod usb;
pub mod userns;
pub mod waiting;
pub mod zones;
