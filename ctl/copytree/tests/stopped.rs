//! Who wants no more of it gets no more.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::fd::AsFd;

use copytree::{Error, Terms, differences_until, measure_until};

#[test]
fn measuring_and_comparing_end_when_they_are_to() {
    let scratch = tempfile::tempdir().expect("scratch");
    let open = |name: &str| File::open(scratch.path().join(name)).expect("opened");
    for tree in ["a", "b"] {
        fs::create_dir(scratch.path().join(tree)).expect("made");
        fs::write(scratch.path().join(tree).join("long"), vec![1; 1 << 20]).expect("written");
    }
    let (one, other) = (open("a"), open("b"));
    let asked = Cell::new(0);
    let at = |last: u32| {
        asked.set(0);
        let asked = &asked;
        move || {
            asked.set(asked.get() + 1);
            asked.get() >= last
        }
    };
    let terms = Terms::default();
    let compare = |stop: &dyn Fn() -> bool| differences_until(stop, [one.as_fd(), other.as_fd()], &terms, 10);
    assert!(matches!(measure_until(&at(1), one.as_fd(), &terms), Err(Error::Stopped)));
    // In the midst of a long file, too.
    for last in [1, 3] {
        assert!(matches!(compare(&at(last)), Err(Error::Stopped)), "{last}");
        assert_eq!(asked.get(), last);
    }
    assert!(compare(&|| false).is_ok());
}
