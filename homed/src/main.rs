//! The daemon, and what is run around a sleep or before a removal.

fn main() -> std::process::ExitCode {
    homed::run()
}
