//! What the kernel shows after a lock, and what that proves.

use serde_json::{Value, json};

/// One place where the volume key could still be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// It is not there.
    Clear,
    /// It is, or nothing keeps it from coming back: in these words.
    Found(String),
    /// It cannot be told.
    Unseen(String),
}

/// What is to be seen of a lock, place by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The device-mapper device takes no requests.
    pub device: Looked,
    /// The key in its table.
    pub table: Looked,
    /// The key in a keyring.
    pub keyring: Looked,
    /// The key of the swap space that the processes' memory is in, at the level "strict".
    pub swap: Looked,
    /// A process that still has the encrypted image open.
    pub holders: Looked,
    /// Copies that the kernel itself is known to forget about.
    pub kernel: Looked,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// The key is gone, as far as anybody can see.
    Proven,
    /// Nothing was found, but not everything could be looked at.
    Unproven(Vec<String>),
    /// The key is there.
    Broken(Vec<String>),
}

impl Seal {
    /// Nothing could be seen, for that reason.
    pub fn unseen(why: &str) -> Self {
        let unseen = || Looked::Unseen(why.to_owned());
        Self {
            device: unseen(),
            table: Looked::Clear,
            keyring: Looked::Clear,
            swap: Looked::Clear,
            holders: Looked::Clear,
            kernel: Looked::Clear,
        }
    }

    /// What follows from all that was seen.
    pub fn conclusion(&self) -> Conclusion {
        let all = [&self.device, &self.table, &self.keyring, &self.swap, &self.holders, &self.kernel];
        let leaks = words(&all, |looked| match looked {
            Looked::Found(text) => Some(text),
            Looked::Clear | Looked::Unseen(_) => None,
        });
        if !leaks.is_empty() {
            return Conclusion::Broken(leaks);
        }
        let doubts = words(&all, |looked| match looked {
            Looked::Unseen(text) => Some(text),
            Looked::Clear | Looked::Found(_) => None,
        });
        if doubts.is_empty() { Conclusion::Proven } else { Conclusion::Unproven(doubts) }
    }

    /// For the `status` section: `verdict`, and `reasons` where it is not "proven".
    pub fn to_json(&self) -> Value {
        match self.conclusion() {
            Conclusion::Proven => json!({ "verdict": "proven" }),
            Conclusion::Unproven(doubts) => json!({ "verdict": "unproven", "reasons": doubts }),
            Conclusion::Broken(leaks) => json!({ "verdict": "broken", "reasons": leaks }),
        }
    }
}

fn words(all: &[&Looked], of: impl Fn(&Looked) -> Option<&String>) -> Vec<String> {
    all.iter().filter_map(|looked| of(looked).cloned()).collect()
}

/// Whether a kernel of this release (`uname -r`) is known to keep a copy of the key of a suspended device:
/// CVE-2026-72103, in 6.9 and later, mended in 6.12.101, 6.18.42, 7.1.5 and 7.2.
pub fn kernel_keeps_a_copy(release: &str) -> Looked {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok);
    let (Some(major), Some(minor)) = (next(), next()) else {
        return Looked::Unseen(format!("the kernel's release {release:?} cannot be read"));
    };
    let patch = next().unwrap_or(0);
    let mended = match (major, minor) {
        (0..=5, _) | (6, 0..=8) => true,
        (6, 12) => patch >= 101,
        (6, 18) => patch >= 42,
        (7, 1) => patch >= 5,
        (6, _) | (7, 0) => false,
        _ => true,
    };
    if mended {
        return Looked::Clear;
    }
    Looked::Unseen(format!(
        "this kernel ({release}) is known to keep a copy of the key (CVE-2026-72103); \
         6.12.101, 6.18.42, 7.1.5 and later do not"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(table: Looked, kernel: Looked) -> Seal {
        let (device, keyring) = (Looked::Clear, Looked::Clear);
        Seal { device, table, keyring, swap: Looked::Clear, holders: Looked::Clear, kernel }
    }

    #[test]
    fn one_leak_breaks_it_and_one_doubt_leaves_it_unproven() {
        let (found, unseen) = (Looked::Found("there".into()), Looked::Unseen("dark".into()));
        assert_eq!(seal(Looked::Clear, Looked::Clear).conclusion(), Conclusion::Proven);
        assert_eq!(
            seal(Looked::Clear, unseen.clone()).conclusion(),
            Conclusion::Unproven(vec!["dark".into()])
        );
        assert_eq!(seal(found, unseen).conclusion(), Conclusion::Broken(vec!["there".into()]));
    }

    #[test]
    fn kernels_that_keep_a_copy_are_known() {
        for release in
            ["6.8.12", "6.12.101+deb13-amd64", "6.18.42", "7.1.5-1-amd64", "7.2.7", "5.10.0-1", "8.0"]
        {
            assert_eq!(kernel_keeps_a_copy(release), Looked::Clear, "{release}");
        }
        for release in
            ["6.9.0", "6.12.57+deb13-amd64", "6.12.100", "6.17.3", "6.18.41", "7.0.12", "7.1.4", "x"]
        {
            assert!(matches!(kernel_keeps_a_copy(release), Looked::Unseen(_)), "{release}");
        }
    }
}
