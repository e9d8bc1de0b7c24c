//! The life of a home on a model of the disk: plan and loop are those that run on a real machine.
//!
//! | file | what |
//! | --- | --- |
//! | `disk` | what stands, and what of it a power cut loses |
//! | `verbs` | what is done with it: by this program, by the daemon that starts, by systemd-homed |
//! | `words` | their names, those of cuts, and what is minded outside of the plan |
//! | `walk` | all orders, what must hold after each, and what is found with each wrong plan |

mod disk;
mod verbs;
mod walk;
mod words;
