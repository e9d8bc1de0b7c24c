//! What is said, before anybody knows in which language.

/// A text that every catalogue has: its English form, with `{names}` for what is filled in. Only the table in `texts.rs` makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(&'static str);

/// Something that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// One of ours.
    Ours {
        /// Which.
        id: Id,
        /// What is filled in.
        with: Vec<(&'static str, Text)>,
    },
    /// A text of PAM, translated as far as it is known.
    Foreign(String),
    /// The same in all languages.
    Name(String),
}

impl Id {
    pub(super) const fn new(english: &'static str) -> Self {
        Self(english)
    }

    /// Its English form.
    pub fn english(self) -> &'static str {
        self.0
    }

    /// With a name or a number filled in.
    pub fn with(self, place: &'static str, value: impl ToString) -> Text {
        Text::from(self).with(place, value)
    }

    /// With a text of PAM or of the system filled in.
    pub fn because(self, why: &str) -> Text {
        Text::from(self).filled("why", Text::Foreign(why.to_owned()))
    }
}

impl Text {
    /// With one more name or number filled in.
    pub fn with(self, place: &'static str, value: impl ToString) -> Self {
        self.filled(place, Self::Name(value.to_string()))
    }

    /// With one more text filled in.
    pub fn filled(mut self, place: &'static str, value: Self) -> Self {
        if let Self::Ours { with, .. } = &mut self {
            with.push((place, value));
        }
        self
    }
}

impl From<Id> for Text {
    fn from(id: Id) -> Self {
        Self::Ours { id, with: Vec::new() }
    }
}

/// Nothing.
impl Default for Text {
    fn default() -> Self {
        Self::Name(String::new())
    }
}
