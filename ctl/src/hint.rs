//! What to type next, for each refusal of each verb. The sentence of what happened comes from homed.
//!
//! One refusal means different things to who makes a home, opens one and deletes one, so the advice is found by both
//! ([`table`]). A sentence that has a next step in it is given no second one.

mod table;

use crate::bus::Failure;
use crate::verb::VERBS;
use records::Refusal;

/// What was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The verb; empty: none yet.
    pub verb: &'a str,
    /// What it was to be done to.
    pub what: &'a str,
}

impl<'a> Asked<'a> {
    /// The user, if the verb is about one.
    fn user(self) -> Option<&'a str> {
        let verb = VERBS.iter().find(|verb| verb.name == self.verb)?;
        let names_one = verb.arguments.trim_start_matches('[').starts_with("USER");
        Some(self.what).filter(|what| names_one && !what.is_empty())
    }
}

/// The lines for a failure: what happened, whether anything was lost, what to type next.
pub fn explain(failure: &Failure, asked: Asked<'_>) -> String {
    let (refusal, sentence) = match failure {
        Failure::Other(text) => return text.clone(),
        Failure::Refused(refusal, sentence) => (*refusal, sentence),
    };
    let advice = advice(refusal, sentence, asked);
    if advice.is_empty() { sentence.clone() } else { format!("{sentence}\n  {advice}") }
}

fn advice(refusal: Refusal, sentence: &str, asked: Asked<'_>) -> String {
    let lost = if sentence.contains("othing was ") { "" } else { table::lost(asked.verb) };
    let next = if has_next_step(refusal, sentence) { "LOST" } else { table::next(refusal, asked.verb) };
    let next = next.replace("LOST", lost).replace("USER", asked.user().unwrap_or("USER"));
    next.trim().to_owned()
}

/// What a sentence with a next step has in it.
const STEPS: [&str; 4] = ["homectl ", "ry again", "can be allowed", "or allow more"];

/// Whether the sentence, written where more was known, says what to do.
fn has_next_step(refusal: Refusal, sentence: &str) -> bool {
    sentence != refusal.sentence() && STEPS.iter().any(|step| sentence.contains(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refusal: Refusal, sentence: &str, verb: &str, what: &str) -> String {
        explain(&Failure::Refused(refusal, sentence.to_owned()), Asked { verb, what })
    }

    #[test]
    fn every_refusal_of_every_verb_has_a_next_step_of_its_own_user() {
        for (refusal, verb) in
            Refusal::ALL.iter().flat_map(|refusal| VERBS.iter().map(move |verb| (refusal, verb)))
        {
            let text = told(*refusal, "What happened.", verb.name, "anna");
            let says_all = matches!(refusal, Refusal::InvalidArgs | Refusal::NotSupported);
            assert!(text.lines().count() == 2 || says_all, "{refusal:?} {}", verb.name);
            let names_users = verb.arguments.trim_start_matches('[').starts_with("USER");
            assert!(
                !(text.contains("LOST") || names_users && text.contains("USER")),
                "{refusal:?} {}",
                verb.name
            );
        }
    }

    #[test]
    fn a_path_is_nobody() {
        let text = told(Refusal::UserNameExists, "What happened.", "adopt", "/srv/x.home");
        assert!(!text.contains("/srv/x.home"), "{text}");
    }

    #[test]
    fn a_sentence_with_a_next_step_gets_no_second_one() {
        let sentence = "The home is still in use by vi (7). End that and try again.";
        assert_eq!(
            told(Refusal::HomeBusy, sentence, "deactivate", "anna"),
            format!("{sentence}\n  Nothing was changed.")
        );
        let sentence = "/srv/a is there already; nothing was changed. See: homectl list";
        assert_eq!(told(Refusal::HomeExists, sentence, "create", "anna"), sentence);
    }

    #[test]
    fn a_damaged_image_is_not_called_a_wrong_password() {
        let text = told(Refusal::HomeDamaged, Refusal::HomeDamaged.sentence(), "activate", "anna");
        assert!(text.contains("damaged") && text.contains("The password was not the problem"));
    }
}
