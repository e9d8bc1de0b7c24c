//! What the module remembers between the hooks of one PAM handle.

use std::os::fd::OwnedFd;

/// Kept by PAM until the handle ends. A handle may come to serve another user: names are kept with what is known.
#[derive(Debug, Default)]
pub struct Memory {
    held: Option<Kept>,
    renamed: Option<Renamed>,
    /// A name that is none of ours.
    stranger: Option<String>,
    /// The daemon was asked, and did not answer: no hook of this handle waits for it again.
    pub silent: bool,
}

#[derive(Debug)]
struct Kept {
    user: String,
    _reference: OwnedFd,
}

#[derive(Debug)]
struct Renamed {
    typed: String,
    primary: String,
}

impl Memory {
    /// Whether there is a reference on the user's home, by the primary name.
    pub fn holds(&self, user: &str) -> bool {
        self.held.as_ref().is_some_and(|held| held.user == user)
    }

    /// Keeps a reference until the session or the login ends, in the place of an older one.
    pub fn keep(&mut self, user: &str, reference: OwnedFd) {
        self.held = Some(Kept { user: user.to_owned(), _reference: reference });
    }

    /// Lets the reference go.
    pub fn let_go(&mut self) {
        self.held = None;
    }

    /// The name is a home's user's, whose primary name is that.
    pub fn is_ours(&mut self, typed: &str, primary: &str) {
        self.renamed = Some(Renamed { typed: typed.to_owned(), primary: primary.to_owned() });
    }

    /// The primary name, if the name is known to be one of ours.
    pub fn primary(&self, name: &str) -> Option<String> {
        let known = self.renamed.as_ref().filter(|known| known.typed == name || known.primary == name);
        known.map(|known| known.primary.clone())
    }

    /// The name is none of ours.
    pub fn is_strange(&mut self, name: &str) {
        self.stranger = Some(name.to_owned());
    }

    /// Whether the name is known to be none of ours.
    pub fn knows_stranger(&self, name: &str) -> bool {
        self.stranger.as_deref() == Some(name)
    }
}
