//! Models of disk and kernel, on which the plans and the loops of the real machine run in tests.

mod kernel;
mod kernel_tests;
