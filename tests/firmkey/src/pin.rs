//! A key's first PIN: authenticatorClientPIN with protocol 1 (CTAP 2.1, 6.5.5.5), as whoever has bought the key does it.

use crate::{Answer, crypto, ctap};
use anyhow::{Context, Result, bail, ensure};
use ciborium::Value;
use ctap::{at, bytes, bytes_at, cose, map, number};
use openssl::symm::Mode;

const CLIENT_PIN: u8 = 0x06;
const KEY_AGREEMENT: i64 = 2;
const SET_PIN: i64 = 3;
/// CTAP2_ERR_NOT_ALLOWED, CTAP2_ERR_PIN_AUTH_INVALID: it has one.
const HAS_ONE: [u8; 2] = [0x30, 0x33];

/// Gives it that PIN, if it has none.
pub fn set(pin: &str, answer: &mut Answer<'_>) -> Result<()> {
    let agreement = command(answer, vec![(2, number(KEY_AGREEMENT))])?;
    let agreement: Value = ciborium::from_reader(agreement.get(1..).unwrap_or_default())?;
    let theirs = at(&agreement, 1).context("no key to agree with")?;
    let part = |name| bytes_at(theirs, name).ok().context("a key without a point");
    let own = crypto::new_pair()?;
    let shared = crypto::shared(&own, [part(-2)?, part(-3)?])?;
    let mut padded = pin.as_bytes().to_vec();
    padded.resize(64, 0);
    let encrypted = crypto::aes(Mode::Encrypt, &shared, &padded)?;
    let proof = crypto::hmac(&shared, &[&encrypted])?;
    let wish = vec![
        (2, number(SET_PIN)),
        (3, cose(-25, &crypto::coordinates(&own)?)),
        (4, bytes(&proof[..16])),
        (5, bytes(&encrypted)),
    ];
    match command(answer, wish)?.first() {
        Some(0) => Ok(()),
        Some(status) if HAS_ONE.contains(status) => Ok(()),
        other => bail!("the PIN is not taken: {other:?}"),
    }
}

fn command(answer: &mut Answer<'_>, mut members: Vec<(i64, Value)>) -> Result<Vec<u8>> {
    members.insert(0, (1, number(1)));
    let answered = answer(&[&[CLIENT_PIN][..], &ctap::encode(&map(members))?].concat())?;
    ensure!(!answered.is_empty(), "no answer");
    Ok(answered)
}
