//! All orders of repairs, logins and changes of size, their cuts, and what others do to the file.

use super::disk::File;
use super::image::{Image, LARGE, Mark, Run, SMALL, VERBS, Verb};
use super::verbs::How;
use crate::storage::luks::plan::without::{Mend, tests::without};
use std::collections::{HashMap, HashSet};

/// What others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    DamageFirstTable,
    DamageSecondTable,
    DamageFirstHeader,
    DamageSecondHeader,
    OlderSecondHeader,
    /// The file is cut off.
    Truncate,
    /// What was cut off is put back.
    PutBack,
    /// The file is made longer.
    Lengthen,
    OpenElsewhere,
    /// It is attached by hand, and opened.
    Use,
    /// That ends.
    Disuse,
    LeaveUnfinished,
    /// systemd-homed gives it another size, and is killed after so many writes, or done.
    Resize(u64, usize),
}

const OTHERS: [Other; 22] = [
    Other::DamageFirstTable,
    Other::DamageSecondTable,
    Other::DamageFirstHeader,
    Other::DamageSecondHeader,
    Other::OlderSecondHeader,
    Other::Truncate,
    Other::PutBack,
    Other::Lengthen,
    Other::OpenElsewhere,
    Other::Use,
    Other::Disuse,
    Other::LeaveUnfinished,
    Other::Resize(LARGE, 1),
    Other::Resize(LARGE, 2),
    Other::Resize(LARGE, 3),
    Other::Resize(LARGE, 4),
    Other::Resize(LARGE, 5),
    Other::Resize(SMALL, 1),
    Other::Resize(SMALL, 2),
    Other::Resize(SMALL, 3),
    Other::Resize(SMALL, 4),
    Other::Resize(SMALL, 5),
];

/// An image, and what must hold of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    image: Image,
    /// It opens.
    opens: bool,
    /// What was cut off of it, and whether it opened with that.
    aside: Option<(Image, bool)>,
}

impl World {
    fn new(image: Image) -> Self {
        Self { image, opens: true, aside: None }
    }

    /// Does what another program does; `None`: there is nothing to be done.
    fn other(&self, other: Other) -> Option<Self> {
        let mut after = self.clone();
        let image = &mut after.image;
        match other {
            Other::DamageSecondTable => *image.last()? = File::new(None),
            Other::DamageFirstTable
            | Other::DamageFirstHeader
            | Other::DamageSecondHeader
            | Other::OlderSecondHeader => {
                harm(image, other);
                if let Some((whole, opens)) = &mut after.aside {
                    harm(whole, other);
                    *opens &= whole.fits();
                }
            }
            Other::Truncate if *image.length.read() == LARGE => {
                after.aside = Some((self.image.clone(), self.opens));
                image.length = File::new(SMALL);
                image.forget_beyond();
            }
            Other::PutBack => {
                let (whole, opened) = after.aside.take()?;
                image.length = File::new(LARGE);
                image.second[1] = whole.second[1].clone();
                // Who has used it meanwhile has another one.
                let same = image.inside == whole.inside;
                after.opens = opened && same;
                return same.then_some(after);
            }
            Other::Lengthen if *image.length.read() == SMALL => {
                image.length = File::new(LARGE);
                after.aside = None;
            }
            Other::Truncate | Other::Lengthen => return None,
            Other::OpenElsewhere => image.mark = File::new(Mark::Elsewhere),
            Other::Use => image.used = true,
            Other::Disuse => image.used = false,
            Other::LeaveUnfinished => image.unfinished = true,
            Other::Resize(to, writes) => {
                image.resize_by_another(to, writes)?;
                after.aside = None;
            }
        }
        // What they have made of it is theirs, also when the power fails before anybody has it flushed.
        after.opens =
            self.opens && after.image.fits() && after.image.after_power_cut().iter().all(Image::fits);
        Some(after)
    }

    /// Does a verb; what may be the case after it, and how many operations it had.
    fn ours(&self, verb: Verb, cut: Option<(u32, How)>) -> Result<(Vec<Self>, u32), String> {
        let mut run = Run::new(self.image.clone(), cut);
        let done = run.verb(verb);
        if let Some(why) = run.broken {
            return Err(why);
        }
        // With a key it is a login in the end, which does without a step that fails.
        let with_key = matches!(verb, Verb::RepairWithKey | Verb::RepairClosedThere);
        if done && (verb == Verb::Repair || with_key && cut.is_none()) {
            run.image.is_rebuilt()?;
        }
        let images = match cut {
            Some((_, How::Power)) => run.image.after_power_cut(),
            Some(_) | None => vec![run.image],
        };
        let aside = |image: &Image| self.aside.clone().filter(|(whole, _)| whole.inside == image.inside);
        let after = images.into_iter().map(|image| {
            let aside = aside(&image);
            Self { image, opens: self.opens, aside }
        });
        Ok((after.collect(), run.done))
    }

    /// It opens: at once, or, where another machine's mark is on it, after a repair. So it does after a power cut.
    fn holds(&self) -> Result<(), String> {
        if !self.opens {
            return Ok(());
        }
        for mut image in self.image.after_power_cut().into_iter().chain([self.image.clone()]) {
            image.used = false;
            if *image.mark.read() == Mark::Elsewhere {
                image = opened(image, Verb::RepairClosedThere)?;
            }
            opened(image, Verb::Login)?;
        }
        Ok(())
    }
}

/// Damages what is at the beginning of an image.
fn harm(image: &mut Image, other: Other) {
    match other {
        Other::DamageFirstTable => image.first = File::new(None),
        Other::DamageFirstHeader => image.headers[0] = File::new(None),
        Other::DamageSecondHeader => image.headers[1] = File::new(None),
        _ => image.headers[1] = File::new(Some(0)),
    }
}

fn opened(image: Image, verb: Verb) -> Result<Image, String> {
    let mut run = Run::new(image, None);
    let done = run.verb(verb);
    if let Some(why) = run.broken {
        return Err(why);
    }
    if done { Ok(run.image) } else { Err(format!("{verb:?} does not open it: {:?}", run.image)) }
}

/// What happens, for whoever has to be told.
#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "it is printed")]
enum Event {
    Ours(Verb, Option<(u32, How)>),
    Other(Other),
}

/// All that may happen next.
fn next(world: &World, found: &mut dyn FnMut(World, Event) -> Result<(), String>) -> Result<(), String> {
    for verb in VERBS {
        let mut all = |cut: Option<(u32, How)>| {
            let event = Event::Ours(verb, cut);
            let (after, done) = world.ours(verb, cut).map_err(|why| format!("{event:?}\n{why}"))?;
            after.into_iter().try_for_each(|after| found(after, event)).map(|()| done)
        };
        for at in 0..all(None)? {
            for how in [How::Kill, How::Power, How::Fail] {
                all(Some((at, how)))?;
            }
        }
    }
    for other in OTHERS {
        world.other(other).map_or(Ok(()), |after| found(after, Event::Other(other)))?;
    }
    Ok(())
}

/// Every order of this length. How many there are.
fn walk(begin: World, depth: usize) -> Result<u64, String> {
    // Orders that lead to the same state go on alike: the state goes on once, and counts for all of them.
    let mut states = HashMap::from([(begin, (1u64, Vec::new()))]);
    let (mut total, mut well) = (0, HashSet::new());
    for level in 1..=depth {
        let mut after: HashMap<World, (u64, Vec<Event>)> = HashMap::new();
        for (world, (ways, how)) in &states {
            let came = next(world, &mut |came, event| {
                if !well.contains(&came) {
                    came.holds().map_err(|why| format!("{event:?}\n{why}"))?;
                    well.insert(came.clone());
                }
                if level == depth {
                    total += ways;
                    return Ok(());
                }
                let entry = after.entry(came);
                entry.or_insert_with(|| (0, [how.as_slice(), &[event]].concat())).0 += ways;
                Ok(())
            });
            came.map_err(|why| format!("{how:?}\n{why}"))?;
        }
        states = after;
    }
    Ok(total)
}

fn beginnings() -> [World; 4] {
    let made = |size, by_another| World::new(Image::new(size, by_another));
    [made(LARGE, false), made(LARGE, true), made(SMALL, false), made(SMALL, true)]
}

#[test]
fn no_order_of_repairs_and_cuts_leaves_an_image_that_does_not_open() {
    // What is cut off is a large one: with four events it is damaged, used meanwhile, and put back.
    let depths = beginnings().into_iter().zip([4, 4, 3, 3]);
    let walks: Vec<_> = depths.map(|(begin, depth)| std::thread::spawn(move || walk(begin, depth))).collect();
    let total: u64 =
        walks.into_iter().map(|walk| walk.join().expect("ends").unwrap_or_else(|why| panic!("{why}"))).sum();
    println!("{total} sequences");
    assert!(total >= 1_000_000, "only {total} sequences");
}

/// What is cut short by itself already is nobody's to hold together: it is not that which is left out.
#[test]
fn a_change_of_size_of_another_program_opens_wherever_it_is_cut() {
    let resized = |world: &World, other| world.other(other).is_some_and(|after| after.opens);
    let opens = |other: &&Other| beginnings().iter().any(|world| resized(world, **other));
    let all: Vec<_> =
        OTHERS.iter().filter(|other| matches!(other, Other::Resize(..))).filter(opens).collect();
    assert_eq!(all.len(), 10, "{all:?}");
}

/// What is taken out, and a word of what is found.
pub(super) const FAULTS: &[(&[Mend], &str)] = &[
    (&[Mend::NobodyUses], "while somebody has it open"),
    (&[Mend::KeptFirst], "is not kept"),
    (&[Mend::KeptWithKey], "is not kept"),
    (&[Mend::KeptOnDisk], "is not kept"),
    (&[Mend::OneTable], "does not open it"),
    (&[Mend::FitsFirst], "does not open it"),
    (&[Mend::Anothers], "another machine has it open"),
];

#[test]
fn the_model_finds_each_fault() {
    for (mends, words) in FAULTS {
        let found = without(mends, || beginnings().into_iter().find_map(|begin| walk(begin, 3).err()));
        let why = found.unwrap_or_else(|| panic!("without {mends:?} nothing is found"));
        println!("without {mends:?}: {why}");
        assert!(why.contains(words), "without {mends:?}: {why}");
    }
}
