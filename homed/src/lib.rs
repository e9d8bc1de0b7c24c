//! The daemon and its worker.
