//! The daemon and, in another role, its worker.

fn main() -> std::process::ExitCode {
    homed::run()
}
