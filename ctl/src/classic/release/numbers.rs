//! Which number the account gets, for its user and for its own group alike.

use records::uid;
use std::ops::RangeInclusive;

/// login.defs(5): the numbers of people's accounts, where it says nothing.
const USUAL: RangeInclusive<u32> = 1000..=60000;

/// The numbers of people's accounts on a machine, of the text of /etc/login.defs.
pub fn range(login_defs: &str) -> RangeInclusive<u32> {
    let number = |name: &str| {
        let mut words = login_defs.lines().map(str::split_whitespace);
        words.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()?.parse().ok())?)
    };
    number("UID_MIN").unwrap_or(*USUAL.start())..=number("UID_MAX").unwrap_or(*USUAL.end())
}

/// The number of a new account: the first of `wishes` that is free and a person's, else the one behind the greatest that was
/// given, as a number that was given once may still be on files; else the first that is free. `None`: none is.
pub fn choose(
    range: &RangeInclusive<u32>,
    wishes: &[u32],
    given: &[u32],
    is_free: &dyn Fn(u32) -> bool,
) -> Option<u32> {
    let fits = |number: u32| {
        range.contains(&number)
            && uid::is_allowed(number)
            && !uid::RANGE.contains(&number)
            && !given.contains(&number)
            && is_free(number)
    };
    let behind = given.iter().filter(|number| range.contains(number)).max().map(|number| number + 1);
    let first = behind.unwrap_or(*range.start());
    let wished = wishes.iter().copied().find(|number| fits(*number));
    wished.or_else(|| (first..=*range.end()).chain(range.clone()).find(|number| fits(*number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_what_the_machine_says() {
        assert_eq!(range("# UID_MIN 5\nUID_MIN\t\t 1500\nUID_MAX 20000\nGID_MIN 7\n"), 1500..=20000);
        assert_eq!(range("UID_MIN many\n"), 1000..=60000);
    }

    #[test]
    fn a_number_that_fits_is_kept_and_another_one_was_never_given() {
        let free = |_: u32| true;
        assert_eq!(choose(&USUAL, &[1500], &[1000, 1001], &free), Some(1500));
        assert_eq!(choose(&USUAL, &[60101, 1300], &[1000], &free), Some(1300), "the record's");
        assert_eq!(choose(&USUAL, &[60101], &[1000, 1004, 65534], &free), Some(1005));
        assert_eq!(choose(&USUAL, &[1000], &[1000], &|number| number != 1001), Some(1002));
        assert_eq!(choose(&(1000..=1001), &[], &[1001], &free), Some(1000), "behind the last there is none");
        assert_eq!(choose(&(1000..=1001), &[], &[1000, 1001], &free), None);
        assert_eq!(choose(&(60001..=60513), &[60101], &[], &free), None, "those are homes'");
        assert_eq!(choose(&(1..=5), &[], &[], &free), None);
    }
}
