//! `homectl`: the library is the program.

fn main() -> std::process::ExitCode {
    homectl::main()
}
