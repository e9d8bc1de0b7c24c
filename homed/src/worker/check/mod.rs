//! Looking at every part of a home, and changing nothing. Who wants the home meanwhile gets it: the daemon
//! ends this worker then, and what it had open goes with it.

use super::activate::Offered;
use super::copies::vouched;
use super::first::First;
use super::{Looked, state, steps::Reporter};
use crate::job::{Failure, Job, Known, Seen, Step};
use crate::storage::examined::{Beside, Examination, Examined};
use crate::storage::{self, HomeDirectory, Spec};
use crate::sys::durable;
use crate::token::{self, Offer};
use judge::{Copy, Facts, Fit};
use records::health::Report;
use records::signature::Trust;
use records::{Record, Refusal};
use std::io::Write;

pub mod judge;

const PLAN: &[Step] = &[Step::Check, Step::Unlock, Step::CheckFileSystem, Step::Mount, Step::ReadCopies];

/// Looks, and judges.
pub fn check<W: Write>(job: &Job, seen: Seen, known: Known, steps: &mut Reporter<W>) -> Looked {
    steps.plan(PLAN);
    let facts = look(job, (seen, known), &Offered::if_any(job, steps)?, steps)?;
    Ok((Report { findings: judge::judge(&facts), actions: Vec::new() }.sorted(), None))
}

/// All that is to be judged.
pub fn look<W: Write>(
    job: &Job,
    (seen, known): (Seen, Known),
    offered: &Offered<'_>,
    steps: &mut Reporter<W>,
) -> Result<Facts, Failure> {
    let spec = Spec::of(&job.record, &job.machine)?;
    let home_directory = spec.home_directory.clone();
    let image = spec.image.clone();
    let trust = state::trust(job)?;
    let vouch = |header: Option<&Record>| vouched(&trust, &job.record, header);
    let wish = Examination { seen, keys: &offered.keys, vouch: &vouch };
    let examined = storage::backend(spec)?.examine(&wish, steps)?;
    let host = (known == Known::Yes).then_some(job.host.as_ref().unwrap_or(&job.record));
    let home = match (&examined.inside, seen) {
        (_, Seen::Open) => Some(open_home(&home_directory)),
        (Some(inside), Seen::Closed) => inside.seen().map(|inside| inside.record.clone()),
        (_, Seen::Closed | Seen::Locked) => None,
    };
    let header = header_record(&examined);
    let vouched = vouch(header.as_ref().and_then(|copy| copy.as_ref().ok()));
    let fit = fit(&offered.offer, &examined, [host, header.as_ref().and_then(|copy| copy.as_ref().ok())])?;
    let mut judge = Judge { first: First::of(host, &trust), trust: &trust, newest: host };
    let judged = [&header, &home].map(|copy| copy.as_ref().map(|copy| judge.judged(copy)));
    let keys = judge.newest.map(token::count);
    let [header, home] = judged;
    Ok(Facts {
        image_path: image.display().to_string(),
        keys,
        host: host.map(|record| record.last_change_usec()),
        known,
        seen,
        header,
        home,
        fit,
        vouched,
        examined,
    })
}

fn open_home(directory: &std::path::Path) -> Result<Record, String> {
    let fd = durable::directory(directory).map_err(|error| error.to_string())?;
    HomeDirectory::new(fd).and_then(|home| home.read_record()).map_err(|failure| failure.text().to_owned())
}

/// The record in the header, where there is one and a key reached it.
fn header_record(examined: &Examined) -> Option<Result<Record, String>> {
    let has_record = examined.header.as_ref().is_some_and(|header| header.record == Beside::There);
    examined.unlocked.as_ref().filter(|_| has_record).map(|unlocked| unlocked.record.clone())
}

/// Judges copies as who opens the home does, one after the other.
struct Judge<'a> {
    trust: &'a Trust,
    first: First,
    /// The record in force, as far as copies were seen.
    newest: Option<&'a Record>,
}

impl<'a> Judge<'a> {
    fn judged(&mut self, copy: &'a Result<Record, String>) -> Copy {
        let record = match copy {
            Err(why) => return Copy::Unreadable(why.clone()),
            Ok(record) => record,
        };
        let counts = self.trust.vouch(record).or_else(|| self.first.admit(record, self.trust));
        if counts.is_none() {
            return Copy::Untrusted;
        }
        self.first.remember(record, self.trust);
        self.newest = self.newest.into_iter().chain([record]).max_by_key(|record| record.last_change_usec());
        Copy::Trusted(record.last_change_usec())
    }
}

/// Whether what was offered opens a slot, and whether it is of the record. Neither is a refusal: whoever
/// tries passwords is told no more here than anywhere else.
fn fit(
    offer: &Offer<'_>,
    examined: &Examined,
    records: [Option<&Record>; 2],
) -> Result<Option<Fit>, Failure> {
    let has_slots = examined.header.as_ref().is_some_and(|header| header.is_ours && header.slots > 0);
    if offer.credentials.is_empty() || !has_slots {
        return Ok(None);
    }
    let of_record = records.into_iter().flatten().any(|record| token::prove(record, offer).is_ok());
    match (&examined.unlocked, of_record) {
        (Some(unlocked), true) => Ok(Some(Fit::Both(unlocked.slot))),
        (Some(unlocked), false) => Ok(Some(Fit::SlotOnly(unlocked.slot))),
        (None, true) => Ok(Some(Fit::RecordOnly)),
        (None, false) => Err(Refusal::BadPassword.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Sections;
    use records::signature::{self, PrivateKey};
    use records::stranger::Strangers;

    /// The user's own check says what a login does: a stranger's record that another stranger has signed anew is not taken.
    #[test]
    fn a_copy_that_another_stranger_has_signed_does_not_count() {
        let key = |seed| PrivateKey::from_seed([seed; 32]);
        let record = Record::parse(r#"{"userName":"alice"}"#, Sections::EMBEDDED).expect("valid");
        let by = |seed| signature::sign(&record, &key(seed)).expect("signable");
        let trust = Trust {
            local: vec![key(1).public()],
            others: vec![key(2).public()],
            strangers: Strangers::Restricted,
        };
        let judged = |host: Option<u8>, copies: [u8; 2]| {
            let host = host.map(by);
            let copies = copies.map(|seed| Ok(by(seed)));
            let mut judge = Judge { first: First::of(host.as_ref(), &trust), trust: &trust, newest: None };
            copies.each_ref().map(|copy| judge.judged(copy) != Copy::Untrusted)
        };
        for (host, copies, counts) in [
            (None, [3, 3], [true, true]),
            (None, [3, 4], [true, false]),
            (Some(3), [3, 3], [true, true]),
            (Some(3), [4, 4], [false, false]),
            (Some(3), [2, 1], [true, true]),
            (Some(1), [3, 3], [false, false]),
            (Some(2), [2, 3], [true, false]),
        ] {
            assert_eq!(judged(host, copies), counts, "{host:?} {copies:?}");
        }
    }
}
