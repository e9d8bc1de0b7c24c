//! A home begins and ends: its storage, its record and pictures on this machine, its mount point.
//!
//! | file | what |
//! | --- | --- |
//! | `plan` | which step is next (pure), and the loop that follows it |
//! | `here` | what stands on this machine, and the steps on it |
//! | `model` | the same plan and loop on a model of the disk, in all orders of verbs and cuts (tests) |

pub mod here;
#[cfg(test)]
mod model;
pub mod plan;
