//! The talk of both ends, from who they are to what both have.

use crate::content::{Taken, give, take};
use crate::decide::{End, Plan, Question, Verdict};
use crate::home::Home;
use crate::journal::{By, recover};
use crate::node::{Hash, LONGEST_PATH, Path, is_fit};
use crate::orders::{Order, Trees, agreed, needs, orders, stamped};
use crate::pair::{Ends, Id, Pair};
use crate::place::{Done, Reason, place};
use crate::scan::scan;
use crate::store::{Store, hex};
use crate::tree::{Notes, State, Tree, Why, put_tree, since, tree};
use crate::wire::{Failure, array, byte, failed, flush, put, put_text, text};
use crate::{Event, Watch};
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

const MAGIC: &[u8; 12] = b"homed sync 1";
/// The longest name of a host that goes into names of files, and the length of a moment.
const LONGEST_HOST: usize = 64;
const MOMENT: usize = 16;
/// Said when the new pair is kept.
const KEPT: u8 = b'.';

/// This end.
pub struct Here<'a> {
    /// Which of the two it is.
    pub end: End,
    /// The top of the home, open.
    pub home: OwnedFd,
    /// A hash of the machine's ID.
    pub id: Id,
    /// What the machine is called.
    pub host: &'a str,
    /// Now: `20261128T014739Z`. That of the first end counts.
    pub moment: &'a str,
}

/// The line to the other end.
pub struct Line<'a> {
    /// What it says.
    pub from: &'a mut dyn Read,
    /// What it hears.
    pub to: &'a mut dyn Write,
}

/// What came of it. Paths are those in the home.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the other machine is called.
    pub host: String,
    /// Changed here: so many paths, of which so many are gone now.
    pub here: u64,
    /// Of these, gone.
    pub gone_here: u64,
    /// Changed there.
    pub there: u64,
    /// Of these, gone.
    pub gone_there: u64,
    /// Bytes of files that went over the line, both ways.
    pub moved: u64,
    /// Where a copy was kept because both had changed.
    pub copies: Vec<Vec<u8>>,
    /// Where a file was kept that was changed while it was exchanged.
    pub kept: Vec<Vec<u8>>,
    /// What was not done.
    pub undone: Vec<Undone>,
    /// What stays where it is, and why.
    pub left: Vec<(Vec<u8>, Why)>,
}

/// What was not done.
#[derive(Debug)]
pub struct Undone {
    /// Where.
    pub path: Vec<u8>,
    /// Why.
    pub why: String,
}

/// Who the other end is.
pub(crate) struct Hello {
    id: Id,
    pair: Option<Hash>,
    host: String,
    moment: String,
}

/// Has both the same, with who is at the other end of the line.
pub fn sync(here: Here<'_>, line: Line<'_>, watch: Watch<'_>) -> Result<Outcome, Failure> {
    let Line { from, to } = line;
    let home = Home::new(here.home).map_err(failed("opening the home"))?;
    let store = Store::open(&home)?;
    let by = By { home: &home, store: &store, host: here.host, moment: here.moment };
    let recovered = recover(&by)?;
    let mut talk = Talk { end: here.end, by, from, to, watch };
    let (there, ends, pair) = talk.greet(here.id)?;
    let shared = (there.pair.is_some() && there.pair == pair.id()).then_some(&pair);
    let mut mine = scan(&home, &pair, talk.watch)?;
    since(&mut mine, shared, &store.taken(ends));
    let theirs = talk.trees(&mine, shared)?;
    let (first, second) = if here.end == End::First { (&mine, &theirs) } else { (&theirs, &mine) };
    let trees = Trees { first, second };
    let names = host_names(&talk, here.id, &there);
    let moment = if here.end == End::First { here.moment } else { &there.moment };
    let plan = Question { first, second, hosts: [&names[0], &names[1]], moment }.plan();
    let sides =
        Sides { mine: orders(&plan, trees, here.end), theirs: orders(&plan, trees, here.end.other()) };
    let (taken, given) = talk.contents((&home, &store), &sides, trees)?;
    let (mut done, theirs_undone) = talk.place(trees, &sides, &taken, ends)?;
    let undone = with_copies(&plan, done.undone.keys().chain(&theirs_undone).cloned().collect());
    done.stamps.retain(|path, _| !undone.contains(path));
    // Where the pairs are not the same, nothing of the own is carried on: they would differ for ever.
    let none = Pair::default();
    let mut new = agreed(&plan, trees, &undone, shared.unwrap_or(&none));
    stamped(&mut new, &mine, &done.stamps);
    talk.keep(&store, &new, ends)?;
    store.clear_parts();
    let mut outcome = outcome(&plan, &sides, done, &theirs_undone);
    outcome.host = names[usize::from(here.end == End::First)].clone();
    outcome.moved = taken.moved + given;
    outcome.kept.extend(recovered.into_iter().map(Vec::from));
    outcome.left = stays(&mine);
    Ok(outcome)
}

/// Orders of both ends.
struct Sides {
    mine: Vec<Order>,
    theirs: Vec<Order>,
}

struct Talk<'a> {
    end: End,
    by: By<'a>,
    from: &'a mut dyn Read,
    to: &'a mut dyn Write,
    watch: Watch<'a>,
}

impl Talk<'_> {
    /// Says and hears who it is. The first speaks first, here and later: nobody speaks while the other does.
    fn greet(&mut self, id: Id) -> Result<(Hello, Ends, Pair), Failure> {
        // Which pair the second has, it knows when it knows the first.
        let (hello, pair) = match self.end {
            End::First => {
                put_hello(self.to, &id, &self.by)?;
                let hello = read_hello(self.from)?;
                let pair = self.pair(id, &hello)?;
                put_pair(self.to, pair.id())?;
                (Hello { pair: read_pair(self.from)?, ..hello }, pair)
            }
            End::Second => {
                let hello = read_hello(self.from)?;
                put_hello(self.to, &id, &self.by)?;
                let pair = self.pair(id, &hello)?;
                let theirs = read_pair(self.from)?;
                put_pair(self.to, pair.id())?;
                (Hello { pair: theirs, ..hello }, pair)
            }
        };
        let ends = Ends { here: id, there: hello.id };
        Ok((hello, ends, pair))
    }

    fn pair(&self, id: Id, hello: &Hello) -> Result<Pair, Failure> {
        if hello.id == id {
            return Err(Failure::SameMachine);
        }
        Ok(self.by.store.pair(Ends { here: id, there: hello.id }))
    }

    fn trees(&mut self, mine: &Tree, shared: Option<&Pair>) -> Result<Tree, Failure> {
        match self.end {
            End::First => {
                put_tree(self.to, mine)?;
                tree(self.from, shared)
            }
            End::Second => {
                let theirs = tree(self.from, shared)?;
                put_tree(self.to, mine)?;
                Ok(theirs)
            }
        }
    }

    /// What the second needs goes first.
    fn contents(
        &mut self,
        (home, store): (&Home, &Store),
        sides: &Sides,
        trees: Trees<'_>,
    ) -> Result<(Taken, u64), Failure> {
        let mine = needs(&sides.mine, trees, self.end);
        let theirs = needs(&sides.theirs, trees, self.end.other());
        let tree = if self.end == End::First { trees.first } else { trees.second };
        if self.end == End::First {
            let given = give(home, &theirs, (self.from, self.to), self.watch)?;
            let taken = take((home, store), tree, &mine, (self.from, self.to), self.watch)?;
            return Ok((taken, given));
        }
        let taken = take((home, store), tree, &mine, (self.from, self.to), self.watch)?;
        let given = give(home, &theirs, (self.from, self.to), self.watch)?;
        Ok((taken, given))
    }

    /// The second puts in place first.
    fn place(
        &mut self,
        trees: Trees<'_>,
        sides: &Sides,
        taken: &Taken,
        ends: Ends,
    ) -> Result<(Done, Vec<Path>), Failure> {
        let theirs = match self.end {
            End::First => Some(read_undone(self.from, &sides.theirs)?),
            End::Second => None,
        };
        let mine = if self.end == End::First { trees.first } else { trees.second };
        let before = self.by.store.taken(ends);
        // Before it is in place: what is not there is not as the note says.
        self.by.store.take_note(&self.noted(&sides.mine, trees, before), ends)?;
        (self.watch)(Event::Step)?;
        let done = place(&self.by, mine, &sides.mine, taken, self.watch)?;
        for path in done.undone.keys() {
            put_text(self.to, path)?;
        }
        put_text(self.to, &[])?;
        flush(self.to)?;
        let theirs = match theirs {
            Some(theirs) => theirs,
            None => read_undone(self.from, &sides.theirs)?,
        };
        Ok((done, theirs))
    }

    /// What is taken in all since the pair, as the other end has it.
    fn noted(&self, orders: &[Order], trees: Trees<'_>, before: Notes) -> Notes {
        let mut notes = before;
        let is_theirs =
            |order: &&Order| trees.seen(self.end.other(), &order.source).node() == order.want.as_ref();
        notes.extend(orders.iter().filter(is_theirs).map(|order| (order.path.clone(), order.want.clone())));
        notes
    }

    /// The second keeps the pair first.
    fn keep(&mut self, store: &Store, pair: &Pair, ends: Ends) -> Result<(), Failure> {
        (self.watch)(Event::Step)?;
        if self.end == End::First && byte(self.from)? != KEPT {
            return Err(Failure::Broken("no word of the end"));
        }
        store.keep(pair, ends)?;
        store.forget_taken(ends);
        (self.watch)(Event::Step)?;
        if self.end == End::Second {
            put(self.to, &[KEPT])?;
            flush(self.to)?;
        }
        Ok(())
    }
}

fn put_hello(line: &mut dyn Write, id: &Id, by: &By<'_>) -> Result<(), Failure> {
    put(line, MAGIC)?;
    put(line, id)?;
    put_text(line, by.host.as_bytes())?;
    put_text(line, by.moment.as_bytes())?;
    flush(line)
}

pub(crate) fn read_hello(line: &mut dyn Read) -> Result<Hello, Failure> {
    if &array::<12>(line)? != MAGIC {
        return Err(Failure::Broken("it does not begin as one, or is of another version"));
    }
    let id = array(line)?;
    let is_fit = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let mut word = |longest| {
        let word = String::from_utf8(text(line, longest)?).ok().filter(|word| is_fit(word));
        word.filter(|word| !word.is_empty()).ok_or(Failure::Broken("a name that is none"))
    };
    let (host, moment) = (word(LONGEST_HOST)?, word(MOMENT)?);
    Ok(Hello { id, pair: None, host, moment })
}

fn put_pair(line: &mut dyn Write, pair: Option<Hash>) -> Result<(), Failure> {
    put(line, &pair.unwrap_or_default())?;
    flush(line)
}

fn read_pair(line: &mut dyn Read) -> Result<Option<Hash>, Failure> {
    let hash: Hash = array(line)?;
    Ok((hash != Hash::default()).then_some(hash))
}

fn read_undone(line: &mut dyn Read, orders: &[Order]) -> Result<Vec<Path>, Failure> {
    let known: HashSet<&Path> = orders.iter().map(|order| &order.path).collect();
    let mut undone = Vec::new();
    loop {
        let path: Path = text(line, LONGEST_PATH)?.into();
        if path.is_empty() {
            return Ok(undone);
        }
        if !is_fit(&path) || !known.contains(&path) || undone.len() >= orders.len() {
            return Err(Failure::Broken("a path of which nobody spoke"));
        }
        undone.push(path);
    }
}

/// The names of both hosts, by end.
fn host_names(talk: &Talk<'_>, id: Id, there: &Hello) -> [String; 2] {
    let (mine, theirs) = told_apart((talk.by.host, &id), (&there.host, &there.id));
    if talk.end == End::First { [mine, theirs] } else { [theirs, mine] }
}

/// Two of one name are told apart by their machines' IDs, and none has a name that could be this machine's.
fn told_apart((mine, id): (&str, &Id), (theirs, their_id): (&str, &Id)) -> (String, String) {
    let is_mine = |name: &str, of: &str, id: &Id| name == of || name == apart(of, id);
    match is_mine(theirs, mine, id) || is_mine(mine, theirs, their_id) {
        true => (apart(mine, id), apart(theirs, their_id)),
        false => (mine.to_owned(), theirs.to_owned()),
    }
}

/// A name that no other machine has.
pub(crate) fn apart(host: &str, id: &Id) -> String {
    format!("{host}-{}", hex(&id[..4]))
}

/// A copy is agreed on when both the copy and what it is beside are in place.
fn with_copies(plan: &Plan, mut undone: HashSet<Path>) -> HashSet<Path> {
    for (path, verdict) in plan {
        if let Verdict::Part { beside, .. } = verdict
            && (undone.contains(path) || undone.contains(beside))
        {
            undone.insert(path.clone());
            undone.insert(beside.clone());
        }
    }
    undone
}

fn outcome(plan: &Plan, sides: &Sides, done: Done, theirs_undone: &[Path]) -> Outcome {
    let not_there: HashSet<&Path> = theirs_undone.iter().collect();
    let count = |orders: &[Order], is_undone: &dyn Fn(&Path) -> bool| {
        let orders = orders.iter().filter(|order| !is_undone(&order.path));
        orders.fold((0, 0), |(all, gone), order| (all + 1, gone + u64::from(order.want.is_none())))
    };
    let (here, gone_here) = count(&sides.mine, &|path| done.undone.contains_key(path));
    let (there, gone_there) = count(&sides.theirs, &|path| not_there.contains(path));
    let copies = plan.values().filter_map(|verdict| match verdict {
        Verdict::Part { beside, .. } => Some(beside.to_vec()),
        _ => None,
    });
    let reasons: HashMap<Path, Reason> =
        theirs_undone.iter().map(|path| (path.clone(), Reason::There)).chain(done.undone).collect();
    let mut undone: Vec<Undone> =
        reasons.into_iter().map(|(path, reason)| Undone { path: path.into(), why: said(reason) }).collect();
    undone.sort_by(|one, other| one.path.cmp(&other.path));
    let (copies, kept) = (copies.collect(), done.kept.into_iter().map(Vec::from).collect());
    Outcome { here, gone_here, there, gone_there, copies, kept, undone, ..Outcome::default() }
}

fn said(reason: Reason) -> String {
    match reason {
        Reason::Changed => "it was changed meanwhile".to_owned(),
        Reason::InUse => "a program writes to it".to_owned(),
        Reason::ChangedThere => "it was changed at the other end meanwhile".to_owned(),
        Reason::NoRoom => "there is no room for it".to_owned(),
        Reason::Refused(why) => why,
        Reason::There => "the other end could not do it".to_owned(),
    }
}

fn stays(tree: &Tree) -> Vec<(Vec<u8>, Why)> {
    let left = tree.iter().filter_map(|(path, seen)| match seen.state {
        State::Left(why) if why != Why::Wished => Some((path.to_vec(), why)),
        _ => None,
    });
    left.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_host_goes_by_the_name_of_another() {
        let (one, two) = ([1; 32], [2; 32]);
        let names = |mine, theirs| told_apart((mine, &one), (theirs, &two));
        assert_eq!(names("here", "there"), ("here".into(), "there".into()));
        assert_eq!(names("box", "box"), ("box-01010101".into(), "box-02020202".into()));
        let (mine, theirs) = names("box", "box-01010101");
        assert_eq!((mine.as_str(), theirs.as_str()), ("box-01010101", "box-01010101-02020202"));
        // Both ends say the same.
        assert_eq!(told_apart(("box-01010101", &two), ("box", &one)), (theirs, mine));
    }
}
