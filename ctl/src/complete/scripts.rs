//! The shells' functions, which all ask the program.

/// The function for a shell; `None`: there is none for it.
pub fn script(shell: &str) -> Option<&'static str> {
    match shell {
        "bash" => Some(include_str!("homectl.bash")),
        "zsh" => Some(include_str!("homectl.zsh")),
        "fish" => Some(include_str!("homectl.fish")),
        _ => None,
    }
}
