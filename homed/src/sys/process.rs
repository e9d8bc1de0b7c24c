//! Other programs: mkfs and fsck. Empty environment, bounded output, dead when we are.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Where system programs are looked for, in this order.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// How much of a program's output is kept, in bytes.
const KEPT: u64 = 8 * 1024;

/// How a program ended that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ToolFailed {
    /// It is not installed.
    #[error("{0} is not installed")]
    Missing(String),
    /// It could not be started or heard.
    #[error("{0} could not be run")]
    Start(String, #[source] io::Error),
    /// It ended with another status than 0.
    #[error("{program} ended with {status}{}", words(.said))]
    Status {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The first lines of its output.
        said: String,
    },
}

fn words(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl ToolFailed {
    /// The same without what the program said: that may name files of the user, which are nobody's business here.
    pub fn without_output(self) -> Self {
        match self {
            Self::Status { program, status, .. } => Self::Status { program, status, said: String::new() },
            other => other,
        }
    }

    /// The exit code, where it ended with one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Status { status, .. } => status.code(),
            Self::Missing(_) | Self::Start(..) => None,
        }
    }
}

/// Where a program is, if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// Runs a program to its end; its output is part of the error only.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), ToolFailed> {
    output(program, arguments).map(drop)
}

/// Runs a program to its end, which must succeed; the first lines of its output.
pub fn output(program: &str, arguments: &[&str]) -> Result<String, ToolFailed> {
    let path = find(program).ok_or_else(|| ToolFailed::Missing(program.to_owned()))?;
    let (status, said) = run_found(&path, arguments).map_err(|e| ToolFailed::Start(program.to_owned(), e))?;
    if status.success() {
        return Ok(said);
    }
    let said = said.trim().replace('\n', "; ");
    let said = status.signal().map_or(said.clone(), |signal| format!("(signal {signal}) {said}"));
    Err(ToolFailed::Status { program: program.to_owned(), status, said })
}

/// Starts a program that goes on by itself, whatever becomes of us; how it ends, nobody hears.
pub fn leave(program: &str, arguments: &[&str]) -> Result<(), ToolFailed> {
    let path = find(program).ok_or_else(|| ToolFailed::Missing(program.to_owned()))?;
    let mut command = Command::new(path);
    command.args(arguments).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).map_err(|error| ToolFailed::Start(program.to_owned(), error))
}

fn run_found(path: &Path, arguments: &[&str]) -> io::Result<(ExitStatus, String)> {
    let (output, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let mut command = Command::new(path);
    command.args(arguments).env_clear().env("PATH", FOLDERS.join(":")).env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
    // SAFETY: between fork and exec only a system call is made.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    let mut child = command.spawn()?;
    // The command holds the pipe's writing ends; without this the reading end never sees the end.
    drop(command);
    let mut said = Vec::new();
    let mut output = std::fs::File::from(output);
    output.by_ref().take(KEPT).read_to_end(&mut said)?;
    // What is too much is read all the same, or the program would wait for us.
    io::copy(&mut output, &mut io::sink())?;
    let status = child.wait()?;
    Ok((status, String::from_utf8_lossy(&said).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_tells_what_the_program_said() {
        let failed = run("sh", &["-c", "echo it broke; exit 3"]).expect_err("fails");
        assert_eq!(failed.code(), Some(3));
        assert!(failed.to_string().contains("it broke"));
        assert_eq!(failed.without_output().to_string(), "sh ended with exit status: 3");
    }

    #[test]
    fn much_output_does_not_block() {
        run("sh", &["-c", "yes | head -c 1000000"]).expect("succeeds");
    }

    #[test]
    fn the_environment_is_not_passed_on() {
        run("sh", &["-c", "test -z \"$HOME\""]).expect("no HOME");
        assert!(matches!(run("no-such-program-at-all", &[]), Err(ToolFailed::Missing(_))));
    }
}
