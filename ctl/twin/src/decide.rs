//! Who is to have what: pure, and the same at both ends, which know the same of each other.
//!
//! | first \ second | as in the pair | changed | gone since |
//! | --- | --- | --- | --- |
//! | as in the pair | nothing | the first takes it | the first deletes it |
//! | changed | the second takes it | equal: nothing; else both are kept | the first's comes back |
//! | gone since | the second deletes it | the second's comes back | nothing |
//!
//! What an end has taken from the other in a sync that was cut off after that (`Store::take_note`) counts as not changed: nobody has
//! changed it there since the other had it.
//!
//! Both are kept: the one that was changed later stays under its name (a folder always does), the other one is beside it, at both ends.
//! Of a file with the same content in both, or a folder, nothing is kept twice: permissions are those that both give.

use crate::node::{Dress, File, LONGEST_NAME, Node, Path, parent, split};
use crate::tree::{NOTHING, Seen, Tree, is_left, left};
use std::collections::{BTreeMap, HashSet};

/// One of the two ends: the first is the one that began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It began.
    First,
    /// It was called.
    Second,
}

impl End {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// What is done about a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays at both ends as it is.
    Leave,
    /// Both have the same: this, or nothing.
    Agreed(Option<Node>),
    /// This end becomes as the other.
    To(End, Option<Node>),
    /// Both become this: it has the same content as both have.
    Both(Node),
    /// What this end has stays there; what the other has is kept beside it.
    Part { winner: End, beside: Path },
}

/// What is done, path by path.
pub(crate) type Plan = BTreeMap<Path, Verdict>;

/// Both trees, and what the copies that are kept are called by.
pub(crate) struct Question<'a> {
    pub first: &'a Tree,
    pub second: &'a Tree,
    /// The names of the hosts, as they stand in names of files.
    pub hosts: [&'a str; 2],
    /// When: `20261128T014739Z`.
    pub moment: &'a str,
}

impl Question<'_> {
    /// The plan.
    pub fn plan(&self) -> Plan {
        let (left_first, left_second) = (left(self.first), left(self.second));
        let paths: HashSet<&[u8]> = self.first.keys().chain(self.second.keys()).map(|path| &**path).collect();
        let mut plan: Plan = paths
            .into_iter()
            .map(|path| {
                let is_left = is_left(&left_first, path) || is_left(&left_second, path);
                let verdict = if is_left { Verdict::Leave } else { self.verdict(path) };
                (path.into(), verdict)
            })
            .collect();
        self.keep_folders(&mut plan);
        plan
    }

    fn seen(&self, end: End, path: &[u8]) -> &Seen {
        let tree = match end {
            End::First => self.first,
            End::Second => self.second,
        };
        tree.get(path).unwrap_or(&NOTHING)
    }

    fn verdict(&self, path: &[u8]) -> Verdict {
        let (first, second) = (self.seen(End::First, path), self.seen(End::Second, path));
        let (a, b) = (first.node(), second.node());
        if a == b {
            return Verdict::Agreed(a.cloned());
        }
        match (first.changed, second.changed) {
            (true, false) => return Verdict::To(End::Second, a.cloned()),
            (false, true) => return Verdict::To(End::First, b.cloned()),
            // (Neither has changed it: one of them does not say how it is.)
            (true, true) | (false, false) => {}
        }
        match (a, b) {
            (Some(_), None) => Verdict::To(End::Second, a.cloned()),
            (None, _) => Verdict::To(End::First, b.cloned()),
            (Some(a), Some(b)) => match merged(a, b) {
                Some(node) => Verdict::Both(node),
                None => self.part(path, if order(a) >= order(b) { End::First } else { End::Second }),
            },
        }
    }

    fn part(&self, path: &[u8], winner: End) -> Verdict {
        let host = match winner {
            End::First => self.hosts[1],
            End::Second => self.hosts[0],
        };
        let taken = |path: &[u8]| self.first.contains_key(path) || self.second.contains_key(path);
        let mut beside = named(path, host, self.moment, 0);
        for number in 1.. {
            if !taken(&beside) {
                break;
            }
            beside = named(path, host, self.moment, number);
        }
        Verdict::Part { winner, beside }
    }

    /// What is in a folder has one to be in: who has deleted it, or has something else in its place, gets it again.
    fn keep_folders(&self, plan: &mut Plan) {
        let mut needed: HashSet<Path> = HashSet::new();
        let paths: Vec<Path> = plan.keys().rev().cloned().collect();
        for path in paths {
            let Some(verdict) = plan.get_mut(&path) else { continue };
            if needed.contains(&path) {
                self.keep_folder(&path, verdict);
            }
            let stays = match verdict {
                Verdict::Leave => false,
                Verdict::Agreed(node) | Verdict::To(_, node) => node.is_some(),
                Verdict::Both(_) | Verdict::Part { .. } => true,
            };
            if stays && let Some(folder) = parent(&path) {
                needed.insert(folder.into());
            }
        }
    }

    fn keep_folder(&self, path: &[u8], verdict: &mut Verdict) {
        let has = |end| self.seen(end, path).node().filter(|node| node.is_folder());
        let Verdict::To(end, node) = verdict else { return };
        if node.as_ref().is_some_and(Node::is_folder) {
            return;
        }
        let end = *end;
        *verdict = match (has(end), node.is_some()) {
            (Some(folder), false) => Verdict::To(end.other(), Some(folder.clone())),
            (Some(_), true) => self.part(path, end),
            (None, _) => return,
        };
    }
}

/// By what it is found who stays: a folder, then who was changed later.
fn order(node: &Node) -> impl Ord {
    let time = match node {
        Node::File(file) => Some(file.modified),
        Node::Link(_) | Node::Folder(_) => None,
    };
    (node.is_folder(), time, node.clone())
}

/// What both may become without anything being lost; `None`: one of them would be lost.
fn merged(a: &Node, b: &Node) -> Option<Node> {
    match (a, b) {
        (Node::Folder(a), Node::Folder(b)) => Some(Node::Folder(both(a, b))),
        (Node::File(a), Node::File(b)) if a.content == b.content => Some(Node::File(File {
            modified: a.modified.max(b.modified),
            content: a.content,
            dress: both(&a.dress, &b.dress),
        })),
        _ => None,
    }
}

/// Permissions that both give, and attributes of either; of two values, one.
fn both(a: &Dress, b: &Dress) -> Dress {
    let all = a.attributes.iter().chain(&b.attributes);
    let values: BTreeMap<&[u8], &[u8]> = all.fold(BTreeMap::new(), |mut values, attribute| {
        let value = values.entry(&*attribute.name).or_insert(&attribute.value);
        *value = (*value).max(&attribute.value);
        values
    });
    let fits = values.len() <= crate::node::MOST_ATTRIBUTES
        && values.values().map(|value| value.len()).sum::<usize>() <= crate::node::LONGEST_ATTRIBUTES;
    let attributes = match fits {
        true => values
            .into_iter()
            .map(|(name, value)| crate::node::Attribute { name: name.to_vec(), value: value.to_vec() })
            .collect(),
        false => a.attributes.clone().max(b.attributes.clone()),
    };
    Dress { mode: a.mode & b.mode, attributes }
}

/// `NAME.from-HOST-MOMENT`, of which the name is cut where all of it would be too long for a file system.
pub(crate) fn named(path: &[u8], host: &str, moment: &str, number: u32) -> Path {
    let end = match number {
        0 => format!("{BETWEEN}{host}-{moment}"),
        _ => format!("{BETWEEN}{host}-{moment}.{number}"),
    };
    let (folder, name) = split(path);
    let name = &name[..name.len().min(LONGEST_NAME.saturating_sub(end.len()))];
    let mut path = folder.to_vec();
    if !folder.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path.extend_from_slice(end.as_bytes());
    path.into()
}

/// Between a name and the host from which the copy under it is.
pub(crate) const BETWEEN: &str = ".from-";

/// The name a copy was kept beside, and the host it is from; `None`: it is no such name.
pub(crate) fn kept(name: &[u8]) -> Option<(&[u8], &str)> {
    let name_end = name.windows(BETWEEN.len()).rposition(|part| part == BETWEEN.as_bytes())?;
    let rest = std::str::from_utf8(&name[name_end + BETWEEN.len()..]).ok()?;
    let (host, moment) = rest.rsplit_once('-')?;
    let (moment, number) = moment.split_once('.').unwrap_or((moment, "0"));
    let is_moment = moment.len() == 16
        && moment.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let is_copy = is_moment && !host.is_empty() && number.parse::<u32>().is_ok() && name_end > 0;
    is_copy.then_some((&name[..name_end], host))
}
