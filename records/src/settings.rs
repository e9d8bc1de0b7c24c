//! The values of a record that are in force on one machine, typed.

use crate::machine::Machine;
use serde_json::{Map, Value};

/// Typed values; `None` where the record does not say (the methods know the defaults).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// `uid`.
    pub uid: Option<u32>,
    /// `homeDirectory`.
    pub home_directory: Option<String>,
    /// `imagePath`.
    pub image_path: Option<String>,
}

impl Settings {
    pub(crate) fn of(_members: &Map<String, Value>, _machine: &Machine) -> Self {
        Self::default()
    }
}
