//! The daemon's worker: one job, one process, then gone.

fn main() -> std::process::ExitCode {
    homed::worker::main()
}
