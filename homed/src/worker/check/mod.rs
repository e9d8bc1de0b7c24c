//! Looking at every part of a home, and changing nothing. Who wants the home meanwhile gets it: the daemon
//! ends this worker then, and what it had open goes with it.

use super::activate::candidates;
use super::copies::vouched;
use super::{Looked, state, steps::Reporter};
use crate::job::{Failure, Job, Known, Seen, Step};
use crate::storage::examined::{Examination, Examined};
use crate::storage::{self, HomeDirectory, Spec};
use crate::sys::durable;
use crate::token::{self, Offer};
use judge::{Copy, Facts, Fit};
use records::health::Report;
use records::signature::{Trust, Verdict};
use records::{Record, Refusal};
use std::io::Write;

pub mod judge;

const PLAN: &[Step] = &[Step::Check, Step::Unlock, Step::CheckFileSystem, Step::Mount, Step::ReadCopies];

/// Looks, and judges.
pub fn check<W: Write>(job: &Job, seen: Seen, known: Known, steps: &mut Reporter<W>) -> Looked {
    steps.plan(PLAN);
    let facts = look(job, (seen, known), steps)?;
    Ok((Report { findings: judge::judge(&facts), actions: Vec::new() }.sorted(), None))
}

/// All that is to be judged.
pub fn look<W: Write>(
    job: &Job,
    (seen, known): (Seen, Known),
    steps: &mut Reporter<W>,
) -> Result<Facts, Failure> {
    let spec = Spec::of(&job.record, &job.machine)?;
    let offer = Offer::new(&job.credentials);
    // Whoever offers nothing is not to be asked for a touch either.
    let keys = if job.credentials.is_empty() { Vec::new() } else { candidates(job, &offer, steps)? };
    let home_directory = spec.home_directory.clone();
    let image = spec.image.clone();
    let trust = state::trust(job)?;
    let vouch = |header: Option<&Record>| vouched(&trust, &job.record, header);
    let wish = Examination { seen, keys: &keys, vouch: &vouch };
    let examined = storage::backend(spec)?.examine(&wish, steps)?;
    let host = (known == Known::Yes).then_some(job.host.as_ref().unwrap_or(&job.record));
    let home = match (&examined.inside, seen) {
        (_, Seen::Open) => Some(open_home(&home_directory)),
        (Some(inside), Seen::Closed) => inside.seen().map(|inside| inside.record.clone()),
        (_, Seen::Closed | Seen::Locked) => None,
    };
    let header = header_record(&examined);
    let vouched = vouch(header.as_ref().and_then(|copy| copy.as_ref().ok()));
    let fit = fit(&offer, &examined, [host, header.as_ref().and_then(|copy| copy.as_ref().ok())])?;
    Ok(Facts {
        image_path: image.display().to_string(),
        keys: newest(&trust, host, [&header, &home]).map(token::count),
        host: host.map(|record| record.last_change_usec()),
        known,
        seen,
        header: header.map(|copy| judged(&trust, copy)),
        home: home.map(|copy| judged(&trust, copy)),
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
    let has_record = examined.header.as_ref().is_some_and(|header| header.has_record);
    examined.unlocked.as_ref().filter(|_| has_record).map(|unlocked| unlocked.record.clone())
}

fn judged(trust: &Trust, copy: Result<Record, String>) -> Copy {
    match copy {
        Err(why) => Copy::Unreadable(why),
        Ok(record) => match trust.verdict(&record) {
            Verdict::Local | Verdict::LocalAmongOthers | Verdict::Foreign => {
                Copy::Trusted(record.last_change_usec())
            }
            Verdict::Stranger if trust.admit(&record, None).is_some() => {
                Copy::Trusted(record.last_change_usec())
            }
            Verdict::Unsigned | Verdict::Stranger | Verdict::Rejected => Copy::Untrusted,
        },
    }
}

/// The record in force, as far as copies were seen.
fn newest<'a>(
    trust: &Trust,
    host: Option<&'a Record>,
    copies: [&'a Option<Result<Record, String>>; 2],
) -> Option<&'a Record> {
    let inner = copies.into_iter().filter_map(|copy| copy.as_ref()?.as_ref().ok());
    let trusted =
        inner.filter(|record| !matches!(trust.verdict(record), Verdict::Unsigned | Verdict::Rejected));
    host.into_iter().chain(trusted).max_by_key(|record| record.last_change_usec())
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
