//! What a security key does for homes, whoever plays it.

use crate::Failure;
use records::Secret;

/// The relying party of all credentials for homes.
pub const RELYING_PARTY: &str = "io.systemd.home";
/// Its name, which a key with a screen shows.
pub const RELYING_PARTY_NAME: &str = "Home Directory";
/// How many bytes a salt and an answer have (CTAP 2.1, hmac-secret).
pub const SALT: usize = 32;

/// What a key insists on before it answers. The secret depends on it: with and without its user verified (by PIN or
/// finger) a key answers differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demands {
    /// Its PIN.
    pub pin: bool,
    /// A touch.
    pub presence: bool,
    /// A finger, or what else it has.
    pub verification: bool,
}

/// How an assertion is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Option3 {
    /// It must be.
    Yes,
    /// It must not be.
    No,
    /// As the key is used to.
    Unsaid,
}

impl From<Option<bool>> for Option3 {
    fn from(flag: Option<bool>) -> Self {
        match flag {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unsaid,
        }
    }
}

/// A question to a key.
pub struct Question<'a> {
    /// The credential's id.
    pub credential: &'a [u8],
    /// The salt; `None`: only whether the key has the credential.
    pub salt: Option<&'a [u8]>,
    /// Its PIN, if that is to be used.
    pub pin: Option<&'a Secret>,
    /// A touch.
    pub presence: Option3,
    /// Verification of its own.
    pub verification: Option3,
}

/// Algorithms of a credential's signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// ECDSA over P-256.
    #[default]
    Es256,
    /// RSA.
    Rs256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// By the names that `homectl` and systemd's tools have for them.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "es256" => Some(Self::Es256),
            "rs256" => Some(Self::Rs256),
            "eddsa" => Some(Self::EdDsa),
            _ => None,
        }
    }

    /// The number COSE has for it (RFC 9053, RFC 8812).
    pub fn number(self) -> i32 {
        match self {
            Self::Es256 => -7,
            Self::Rs256 => -257,
            Self::EdDsa => -8,
        }
    }
}

/// What a key can do, as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// It answers salts.
    pub hmac_secret: bool,
    /// A PIN is set.
    pub pin: bool,
    /// It has a way of its own to verify its user, and knows its user.
    pub verification: bool,
    /// It can tell a touch.
    pub presence: bool,
}

/// For whom a credential is made.
pub struct Owner<'a> {
    /// The user's name, with the realm behind it.
    pub id: &'a str,
    /// The same for people.
    pub name: &'a str,
}

/// A security key that is plugged in.
pub trait Key {
    /// What it is called by its maker.
    fn name(&self) -> &str;

    /// Where it is plugged in: `/dev/hidrawN`.
    fn path(&self) -> &str;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// Asks it. `None`: nothing was to be answered. Waits no longer than libfido2 was told to.
    fn ask(&self, question: &Question<'_>) -> Result<Option<Secret>, Failure>;

    /// Makes a credential on it, for answers to salts; its id.
    fn make(&self, owner: &Owner<'_>, algorithm: Algorithm, pin: Option<&Secret>)
    -> Result<Vec<u8>, Failure>;

    /// How often its PIN may be tried still; `None`: it does not say.
    fn tries(&self) -> Option<u8>;
}
