//! Resource limits.

use super::Read;
use serde_json::Value;
use std::collections::BTreeMap;

/// A resource limit; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The soft limit.
    pub soft: Option<u64>,
    /// The hard limit.
    pub hard: Option<u64>,
}

/// Names of the kernel's limits (`RLIMIT_…`).
pub const RESOURCE_LIMITS: [&str; 16] = [
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

pub(crate) fn resource_limits(value: &Value) -> Read<BTreeMap<String, ResourceLimit>> {
    value.as_object().ok_or("it is not an object")?.iter().map(resource_limit).collect()
}

fn resource_limit((name, limit): (&String, &Value)) -> Read<(String, ResourceLimit)> {
    if !RESOURCE_LIMITS.contains(&name.as_str()) {
        return Err("a member is not the name of a resource limit");
    }
    let bound = |which: &str| match limit.get(which) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => number.as_u64().map(Some).ok_or("a limit is not a whole number or null"),
    };
    let limit = ResourceLimit { soft: bound("cur")?, hard: bound("max")? };
    if limit.hard.is_some_and(|hard| limit.soft.is_none_or(|soft| soft > hard)) {
        return Err("a soft limit is above the hard one");
    }
    Ok((name.clone(), limit))
}
