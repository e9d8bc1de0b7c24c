//! homectl.
fn main() {}
