//! The completion functions, in the shells they are for.

use std::path::Path;
use std::process::{Command, Stdio};

/// A folder with homectl and nothing else, first of the path, and the shell's function in it.
struct Shell {
    folder: tempfile::TempDir,
    program: &'static str,
}

impl Shell {
    /// `None` where the shell is not installed.
    fn find(program: &'static str) -> Option<Self> {
        Command::new(program).arg("--version").stdout(Stdio::null()).status().ok()?;
        let folder = tempfile::tempdir().expect("scratch folder");
        let homectl = Path::new(env!("CARGO_BIN_EXE_homectl"));
        std::os::unix::fs::symlink(homectl, folder.path().join("homectl")).expect("link");
        let made = Command::new(homectl).arg(format!("--generate={program}")).output().expect("homectl runs");
        assert!(made.status.success());
        // Where each shell looks for functions of others than itself: fish has one for the original.
        let place = match program {
            "zsh" => "_homectl",
            "fish" => "fish/vendor_completions.d/homectl.fish",
            _ => "function",
        };
        let place = folder.path().join(place);
        std::fs::create_dir_all(place.parent().expect("a folder")).expect("folder");
        std::fs::write(place, made.stdout).expect("function");
        std::fs::write(folder.path().join("record file.json"), "{}").expect("file");
        std::fs::create_dir(folder.path().join("records")).expect("folder");
        Some(Self { folder, program })
    }

    fn run(&self, script: &str, words: &[&str]) -> String {
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(self.program);
        command.args(["-c", script, "test"]).args(words).current_dir(self.folder.path()).env("PATH", path);
        command
            .env("HOME", self.folder.path())
            .env("XDG_DATA_DIRS", self.folder.path())
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
        let output = command.stdin(Stdio::null()).output().expect("the shell runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.is_empty(), "{}: {error}", self.program);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Tab in bash puts in what is behind the last `=`, `:` or `@`, where it cuts words.
const BASH: &str = r#"
source ./function
COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD=$2
shift 2
COMP_WORDS=("$@")
_homectl homectl
printf '%s\n' "${COMPREPLY[@]}"
"#;

#[test]
fn bash_completes_verbs_options_values_and_files() {
    let shell = Shell::find("bash").expect("bash is there");
    for (line, words, replies) in [
        ("homectl deactivate-", &["homectl", "deactivate-"][..], "deactivate-all\n"),
        ("homectl create anna --fs", &["homectl", "create", "anna", "--fs"], "--fs-type=\n"),
        ("homectl create --storage=l", &["homectl", "create", "--storage", "=", "l"], "luks\n"),
        (
            "homectl create --storage=",
            &["homectl", "create", "--storage", "="],
            "luks\nfscrypt\ndirectory\nsubvolume\ncifs\n",
        ),
        ("homectl create --storage l", &["homectl", "create", "--storage", "l"], "luks\n"),
        ("homectl  resize a mi", &["homectl", "resize", "a", "mi"], "min\n"),
        (
            "homectl create --identity=rec",
            &["homectl", "create", "--identity", "=", "rec"],
            "record file.json\nrecords\n",
        ),
        (
            "homectl create --ssh-authorized-keys=@rec",
            &["homectl", "create", "--ssh-authorized-keys", "=@", "rec"],
            "record file.json\nrecords\n",
        ),
        ("homectl create -d rec", &["homectl", "create", "-d", "rec"], "records\n"),
        ("homectl inspect a", &["homectl", "inspect", "a"], "\n"),
    ] {
        let at = (words.len() - 1).to_string();
        let typed = [&[line, &at], words].concat();
        assert_eq!(sorted(&shell.run(BASH, &typed)), sorted(replies), "{line}");
    }
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn fish_completes_verbs_options_values_and_files() {
    let Some(shell) = Shell::find("fish") else { return };
    for (line, first) in [
        ("homectl deactivate-", "deactivate-all\tClose all homes"),
        ("homectl create anna --fs", "--fs-type=\tFile system in the image: btrfs, ext4, xfs"),
        ("homectl create --storage=l", "--storage=luks"),
        ("homectl create --storage l", "luks"),
        ("homectl resize a mi", "min"),
        ("homectl create --identity=record\\ ", "--identity=record file.json"),
        ("homectl create -d rec", "records/"),
        ("homectl with anna homect", "homectl"),
    ] {
        let found = shell.run("complete -C $argv[2]", &[line]);
        let found: Vec<&str> = found.lines().map(|line| line.trim_end()).collect();
        assert!(found.first().is_some_and(|line| line.starts_with(first)), "{line}: {found:?}");
    }
}

/// A terminal of its own, in which keys are pressed: what stands in the line after Tab.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty keys zsh -f -i
zpty -w keys "PROMPT= RPROMPT=; unsetopt zle_bracketed_paste; fpath=($PWD \$fpath); autoload -U compinit; compinit -u -D; bindkey '^X' show; zle -N show; show() { print -r -- \"<<\$BUFFER>>\"; zle kill-whole-line }; print READ''Y"
zpty -r keys text '*READY*'
for line in "$@"; do
    zpty -w -n keys "$line"$'\t\030'
    zpty -r keys text '*<<*>>*'
    print -r -- "${${text#*<<}%%>>*}"
done
zpty -d keys
"#;

#[test]
fn zsh_completes_verbs_options_values_and_files() {
    let Some(shell) = Shell::find("zsh") else { return };
    let typed = [
        ("homectl deactivate-", "homectl deactivate-all "),
        ("homectl create anna --fs", "homectl create anna --fs-type="),
        ("homectl create --storage=l", "homectl create --storage=luks "),
        ("homectl create --storage l", "homectl create --storage luks "),
        ("homectl resize a mi", "homectl resize a min "),
        ("homectl create --identity=record\\ ", "homectl create --identity=record\\ file.json "),
        (
            "homectl create --ssh-authorized-keys=+@record\\ ",
            "homectl create --ssh-authorized-keys=+@record\\ file.json ",
        ),
        ("homectl create -d rec", "homectl create -d records/"),
        ("homectl with anna homect", "homectl with anna homectl "),
    ];
    let lines: Vec<&str> = typed.iter().map(|(line, _)| *line).collect();
    let shown = shell.run(ZSH, &lines);
    for ((line, expected), shown) in typed.iter().zip(shown.lines()) {
        assert_eq!(shown, *expected, "{line}");
    }
    assert_eq!(shown.lines().count(), typed.len());
}
