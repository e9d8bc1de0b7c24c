//! Differences, as a person reads them.

use std::fmt;

use records::visible::{visible, visible_path};

use super::{Difference, What};

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.as_os_str().is_empty() { ".".as_ref() } else { self.path.as_path() };
        write!(f, "{} ({})", visible_path(path), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyInFirst => f.write_str("it is in the first alone"),
            Self::OnlyInSecond => f.write_str("it is in the second alone"),
            Self::Type => f.write_str("another type of file"),
            Self::Mode(first, second) => write!(f, "mode {first:o} and {second:o}"),
            Self::Owner(first, second) => {
                write!(f, "owner {}:{} and {}:{}", first.0, first.1, second.0, second.1)
            }
            Self::Time(..) => f.write_str("time of change"),
            Self::Size(first, second) => write!(f, "{first} and {second} bytes"),
            Self::Content(at) => write!(f, "content from byte {at} on"),
            Self::Holes(..) => f.write_str("holes"),
            Self::Attribute(name) => write!(f, "attribute {}", visible(name)),
            Self::Flags(first, second) => write!(f, "flags {first:#x} and {second:#x}"),
            Self::Target => f.write_str("target of the link"),
            Self::Device(..) => f.write_str("device"),
            Self::Links => f.write_str("hard links"),
            Self::Changed => f.write_str("it was changed meanwhile"),
            Self::Mounted => f.write_str("something is mounted there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_and_attributes_do_nothing_to_the_terminal() {
        let path = "x\u{1b}[1A\u{1b}[2K".into();
        let one = Difference { path, what: What::Attribute("user.\u{1b}[31m".into()) };
        let text = one.to_string();
        assert!(text.contains("attribute user.") && !text.contains(char::is_control), "{text:?}");
        let error = crate::Error::Mounted { path: "a\nb".into() };
        assert_eq!(error.to_string(), "a\\u{a}b: something is mounted there");
    }
}
