//! Which of several refusals is told.

use records::Refusal;
use records::refusal::Refused;

/// Of two refusals the one that tells more; its sentence is the other's, where it has none of its own.
pub fn more(known: Refused, why: Refused) -> Refused {
    let (told, other) = if tells(why.refusal) > tells(known.refusal) { (why, known) } else { (known, why) };
    let has_own = |refused: &Refused| refused.sentence != refused.refusal.sentence();
    if has_own(&told) || !has_own(&other) { told } else { Refused { sentence: other.sentence, ..told } }
}

/// How much a refusal tells: what a token that is plugged in wants comes before that there is none, and both before what
/// could be typed.
fn tells(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::BadRecoveryKey => 0,
        Refusal::BadPassword => 1,
        Refusal::BadPasswordAndNoToken => 2,
        _ => 3,
    }
}

/// Whether a try of a PIN was used up.
pub fn is_wrong_pin(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::BadPin | Refusal::BadPinFewTriesLeft | Refusal::BadPinOneTryLeft)
}

/// Whether a refusal is that of a token which is plugged in.
pub fn is_of_token(refusal: Refusal) -> bool {
    tells(refusal) > 2
}
