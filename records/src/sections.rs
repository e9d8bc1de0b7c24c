//! The seven sections of a record, and which of them each path carries.

/// A section of the user record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// The members at the top level.
    Regular,
    /// `privileged`: hashes, keys, hints; hidden from other users.
    Privileged,
    /// `perMachine`: overrides with conditions.
    PerMachine,
    /// `binding`: facts of one machine.
    Binding,
    /// `status`: the state of one machine.
    Status,
    /// `signature`: who signed the first three.
    Signature,
    /// `secret`: plaintext, never stored.
    Secret,
}

impl Section {
    /// The sections that are members of their own, with the member's name.
    pub const NAMED: [(Self, &'static str); 6] = [
        (Self::Privileged, "privileged"),
        (Self::PerMachine, "perMachine"),
        (Self::Binding, "binding"),
        (Self::Status, "status"),
        (Self::Signature, "signature"),
        (Self::Secret, "secret"),
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sections(u8);

impl Sections {
    /// What a signature covers.
    pub const SIGNED: Self = Self::of(&[Section::Regular, Section::Privileged, Section::PerMachine]);
    /// What is kept in the LUKS header and in `~/.identity`.
    pub const EMBEDDED: Self = Self::SIGNED.with(Section::Signature);
    /// What is kept in the host's file.
    pub const HOST: Self = Self::EMBEDDED.with(Section::Binding).with(Section::Status);
    /// What its owner and root see over the bus.
    pub const OWNER: Self = Self::HOST;
    /// What everybody else sees.
    pub const STRANGER: Self = Self::of(&[
        Section::Regular,
        Section::PerMachine,
        Section::Binding,
        Section::Status,
        Section::Signature,
    ]);
    /// What a client may send to create or update a home.
    pub const REQUEST: Self = Self::EMBEDDED.with(Section::Secret);
    /// Everything.
    pub const ALL: Self = Self::HOST.with(Section::Secret);

    const fn of(sections: &[Section]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < sections.len() {
            bits |= sections[i].bit();
            i += 1;
        }
        Self(bits)
    }

    const fn with(self, section: Section) -> Self {
        Self(self.0 | section.bit())
    }

    /// Whether the set has it.
    pub const fn has(self, section: Section) -> bool {
        self.0 & section.bit() != 0
    }
}
