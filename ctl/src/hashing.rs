//! Hashes of new passwords, as crypt(3) checks them: yescrypt with the cost of `$y$j9T$`.

use crate::bus::Failure;
use records::Secret;
use yescrypt::{PasswordHasher, Yescrypt};

/// Hashes with a random salt.
pub fn hash(password: &Secret) -> Result<String, Failure> {
    let hash = Yescrypt::default().hash_password(password.open());
    hash.map(|hash| hash.as_str().to_owned())
        .map_err(|e| Failure::say(format!("the password cannot be hashed: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use yescrypt::PasswordVerifier;

    #[test]
    fn hashes_have_the_usual_cost_and_fit_their_password_alone() {
        let password = Secret::new(b"correct horse".to_vec());
        let hash = hash(&password).expect("hashed");
        assert!(hash.starts_with("$y$j9T$"), "{hash}");
        assert!(Yescrypt::default().verify_password(b"correct horse", hash.as_str()).is_ok());
        assert!(Yescrypt::default().verify_password(b"wrong", hash.as_str()).is_err());
    }
}
