//! What an end has to do by the plan, what has to come for it, and what both have in the end.

use crate::decide::{End, Plan, Verdict};
use crate::node::{Content, Node, Path};
use crate::pair::{Kept, Pair};
use crate::tree::{NOTHING, Seen, Stamp, Tree};
use std::collections::{HashMap, HashSet};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// Where.
    pub path: Path,
    /// What is there then; `None`: nothing.
    pub want: Option<Node>,
    /// What is there now is kept under this path.
    pub keep: Option<Path>,
    /// Where the other end has what is in the file.
    pub source: Path,
}

/// What has to come over the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub content: Content,
    /// Where the giver has it.
    pub source: Path,
}

/// Both trees, by end.
#[derive(Clone, Copy)]
pub(crate) struct Trees<'a> {
    pub first: &'a Tree,
    pub second: &'a Tree,
}

impl<'a> Trees<'a> {
    /// What an end has under a path.
    pub fn seen(&self, end: End, path: &[u8]) -> &'a Seen {
        match end {
            End::First => self.first.get(path),
            End::Second => self.second.get(path),
        }
        .unwrap_or(&NOTHING)
    }
}

/// What that end has to do, in the order of the paths.
pub(crate) fn orders(plan: &Plan, trees: Trees<'_>, end: End) -> Vec<Order> {
    let mut orders = Vec::new();
    for (path, verdict) in plan {
        let order = |path: &Path, want: Option<Node>, keep: Option<&Path>, source: &Path| Order {
            path: path.clone(),
            want,
            keep: keep.cloned(),
            source: source.clone(),
        };
        let there = || trees.seen(end.other(), path).node().cloned();
        orders.extend(match verdict {
            Verdict::Leave | Verdict::Agreed(_) => None,
            Verdict::To(to, node) => (*to == end).then(|| order(path, node.clone(), None, path)),
            Verdict::Both(node) => (trees.seen(end, path).node() != Some(node))
                .then(|| order(path, Some(node.clone()), None, path)),
            Verdict::Part { winner, beside } if *winner == end => Some(order(beside, there(), None, path)),
            Verdict::Part { beside, .. } => Some(order(path, there(), Some(beside), path)),
        });
    }
    orders.sort_by(|one, other| one.path.cmp(&other.path));
    orders
}

/// What an end has not that does these orders, each once.
pub(crate) fn needs(orders: &[Order], trees: Trees<'_>, end: End) -> Vec<Need> {
    let mut met = HashSet::new();
    let mut needs = Vec::new();
    for order in orders {
        let Some(content) = order.want.as_ref().and_then(Node::content) else { continue };
        let here = trees.seen(end, &order.path).node().and_then(Node::content);
        if here != Some(content) && met.insert(content) {
            needs.push(Need { content, source: order.source.clone() });
        }
    }
    needs
}

/// What both have now; what one of them could not do is as it was.
pub(crate) fn agreed(plan: &Plan, trees: Trees<'_>, undone: &HashSet<Path>, before: &Pair) -> Pair {
    let mut pair = Pair::default();
    let mut put = |path: &Path, node: Option<&Node>| {
        if let Some(node) = node {
            pair.0.insert(path.clone(), Kept { node: node.clone(), stamp: None });
        }
    };
    for (path, verdict) in plan {
        match verdict {
            Verdict::Agreed(node) => put(path, node.as_ref()),
            Verdict::Leave => put(path, before.node(path)),
            _ if undone.contains(path) => put(path, before.node(path)),
            Verdict::To(_, node) => put(path, node.as_ref()),
            Verdict::Both(node) => put(path, Some(node)),
            Verdict::Part { winner, beside } => {
                put(path, trees.seen(*winner, path).node());
                if !undone.contains(beside) {
                    put(beside, trees.seen(winner.other(), path).node());
                }
            }
        }
    }
    // What lies below of what stays where it is, was told of by neither.
    let rest = before.0.iter().filter(|(path, _)| !plan.contains_key(*path));
    let rest: Vec<_> = rest.map(|(path, kept)| (path.clone(), kept.node.clone())).collect();
    for (path, node) in rest {
        pair.0.insert(path, Kept { node, stamp: None });
    }
    pair
}

/// Notes how files stand here, so that they need not be read the next time.
pub(crate) fn stamped(pair: &mut Pair, here: &Tree, taken: &HashMap<Path, Stamp>) {
    for (path, kept) in &mut pair.0 {
        kept.stamp = match (taken.get(path), here.get(path)) {
            (Some(stamp), _) => Some(*stamp),
            (None, Some(seen)) if seen.lasts && seen.node() == Some(&kept.node) => seen.stamp,
            _ => None,
        };
    }
}
