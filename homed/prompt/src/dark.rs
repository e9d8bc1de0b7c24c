//! The kernel turns the screen off when nobody has pressed a key for a minute, and on again at any key, as long as somebody is
//! locked.
//!
//! Where the administrator has another time than never (`consoleblank=` on the kernel's command line), that counts. What it was is
//! noted until it is so again, for the next of us.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// After how many seconds it does so; 0: never.
const AFTER: &str = "/sys/module/kernel/parameters/consoleblank";
/// There as long as it is ours to change it back.
const NOTE: &str = "/run/homed/dark";
/// console_codes(4): "set screen blank timeout", in minutes; and never.
const A_MINUTE: &[u8] = b"\x1b[9;1]";
const NEVER: &[u8] = b"\x1b[9;0]";

/// From now on; the terminal may be any virtual one.
pub fn begin(terminal: &mut File) -> io::Result<()> {
    if !Path::new(NOTE).exists() {
        if fs::read_to_string(AFTER)?.trim() != "0" {
            return Ok(());
        }
        fs::write(NOTE, "")?;
    }
    terminal.write_all(A_MINUTE)
}

/// As it was.
pub fn end(terminal: &mut File) -> io::Result<()> {
    if Path::new(NOTE).exists() {
        terminal.write_all(NEVER)?;
        fs::remove_file(NOTE)?;
    }
    Ok(())
}
