//! The test machine: a whole Linux system in User-Mode Linux, started from a test in two seconds.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let machine = machine::Machine::builder().start()?;
//! assert_eq!(machine.check("id -u")?.trim(), "0");
//! let stopped = machine.power_cut()?;
//! let machine = stopped.start()?; // the same disk
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! Machine ── Runner    commands as root, over /dev/ttyS2 and a shared folder
//!    │   ├── Console   what a person sees at /dev/ttyS0 and /dev/ttyS1
//!    │   ├── ram       the search of all its memory
//!    │   └── Kernel    the processes on the host, in namespaces of their own, all of them on one Processor
//!    ├── Screen        virtual terminals and a keyboard, of a machine that has them (qemu instead of the above)
//!    └── Wreck         its folder: the copy-on-write disk, the logs
//! image ── recipe, cache: the root tree and the disk images over it, built once
//! packages              more of Debian, for who installs it
//! ```
//!
//! The kernel is a process of the host: no hardware virtualisation, no network, one CPU. Every wait is for an
//! event and has a bound; what fails tells the end of the console's log. `HOMED_KEEP=1` keeps disk and logs.
//!
//! Not here: what a scenario means. This crate knows nothing of homed but that its package can be installed.

mod builder;
mod cache;
mod command;
mod console;
mod fault;
mod files;
pub mod image;
mod kernel;
mod packages;
mod power;
mod processor;
mod ram;
mod recipe;
mod runner;
mod screen;
mod wreck;

pub use builder::{Builder, Hardware, Init, Machine};
pub use command::{Command, Output, Running};
pub use console::Console;
pub use fault::past_processor_faults;
pub use image::{Image, Suite, our_package, upstream_tests};
pub use power::Stopped;
pub use screen::{Picture, Screen};
