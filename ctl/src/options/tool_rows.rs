//! The options that change what the program does.

use super::Takes::{Nothing, One};
use super::{Effect, Row, Takes, Tool};

const fn row(long: &'static str, short: Option<char>, value: Takes, tool: Tool, help: &'static str) -> Row {
    Row { long, short, aliases: &[], value, help, effect: Effect::Tool(tool) }
}

/// The rows, in the order of the help.
pub const TOOL_ROWS: &[Row] = &[
    row("help", Some('h'), Nothing, Tool::Help, "Show this help"),
    row("version", None, Nothing, Tool::Version, "Show the version"),
    row("no-pager", None, Nothing, Tool::NoPager, "Do not use a pager (there is none; accepted for scripts)"),
    row("no-legend", None, Nothing, Tool::NoLegend, "Leave out table header and footer"),
    row("no-ask-password", None, Nothing, Tool::NoAskPassword, "Ask nothing: no password, no authorization"),
    row(
        "host",
        Some('H'),
        One("[USER@]HOST"),
        Tool::Host,
        "Run homectl on that host, over ssh; it asks for passwords there, and files are those of that host",
    ),
    row("machine", Some('M'), One("CONTAINER"), Tool::Machine, "Run homectl in that container"),
    row(
        "identity",
        Some('I'),
        One("PATH"),
        Tool::Identity,
        "Read the user record from a JSON file (- is standard input)",
    ),
    row("json", None, One("pretty|short|off"), Tool::Json, "Answer in JSON"),
    row("", Some('j'), Nothing, Tool::JsonAuto, "Same as --json=pretty on a terminal, else --json=short"),
    row(
        "export-format",
        None,
        One("full|stripped|minimal"),
        Tool::ExportFormat,
        "How much of the record the JSON holds: stripped has no binding and status, minimal no signature either",
    ),
    row(
        "",
        Some('E'),
        Nothing,
        Tool::Export,
        "Same as -j --export-format=stripped; -EE is -j --export-format=minimal",
    ),
    row(
        "details",
        None,
        Nothing,
        Tool::Details,
        "inspect: also what homed alone knows (blocks taken, locks); on a terminal it is shown anyway",
    ),
    row(
        "offline",
        None,
        Nothing,
        Tool::Offline,
        "Change only this machine's copy of the record, without a password",
    ),
    row("watch", None, Nothing, Tool::Watch, "status: go on, and show it again when it changes"),
    row(
        "yes",
        Some('y'),
        Nothing,
        Tool::Yes,
        "repair, trust, snapshot, backup, convert, release: do it without a question",
    ),
    row(
        "replace",
        None,
        Nothing,
        Tool::Replace,
        "import, send, receive: make an image that is there what is sent; what was changed in it is lost",
    ),
    row("move", None, Nothing, Tool::Move, "send: remove the home here once it has opened there"),
    row(
        "take",
        None,
        One("here|there"),
        Tool::Take,
        "sync: of what is kept twice have what was here, or there, in these folders or all of the home",
    ),
    row(
        "dry-run",
        None,
        Nothing,
        Tool::DryRun,
        "repair, create, update, convert, release: only say what would be done",
    ),
    row(
        "undo",
        None,
        Nothing,
        Tool::Undo,
        "convert, release: have the account, or the home, again as it was; what there is instead is kept beside it",
    ),
    row(
        "discard-original",
        None,
        Nothing,
        Tool::DiscardOriginal,
        "convert, release: delete the account's folder, or the home, that was kept; there is no way back then",
    ),
    row(
        "file-system",
        None,
        Nothing,
        Tool::FileSystem,
        "repair: have the file system repaired by its own program too; damaged files may be lost",
    ),
    row(
        "closed-elsewhere",
        None,
        Nothing,
        Tool::ClosedElsewhere,
        "repair: the other machine that has the home marked as open has it not any more; take its mark away",
    ),
    row("key-name", None, One("NAME"), Tool::KeyName, "Name for the signing key that is added"),
    row(
        "seize",
        None,
        One("BOOL"),
        Tool::Seize,
        "Drop a foreign signature on create, so that this machine signs (default: yes)",
    ),
    row(
        "recovery-key-file",
        None,
        One("PATH"),
        Tool::RecoveryKeyFile,
        "Also write the new recovery key to this new file; needs --recovery-key=yes",
    ),
    row("why", None, One("TEXT"), Tool::Why, "inhibit-lock: why the home is to be left open"),
    row("for", None, One("SPAN"), Tool::For, "inhibit-lock: for how long at most, such as 2h"),
    row("prompt-new-user", None, Nothing, Tool::PromptNewUser, "firstboot: ask for a user to create"),
    row("prompt-groups", None, One("BOOL"), Tool::PromptGroups, "firstboot: ask for groups (default: yes)"),
    row("prompt-shell", None, One("BOOL"), Tool::PromptShell, "firstboot: ask for the shell (default: yes)"),
    row("chrome", None, One("BOOL"), Tool::Screen, "firstboot: accepted for scripts (no bars are drawn)"),
    row(
        "mute-console",
        None,
        One("BOOL"),
        Tool::Screen,
        "firstboot: accepted for scripts (kernel messages stay)",
    ),
    row("generate", None, One("man|bash|zsh|fish"), Tool::Generate, ""),
];
