//! Attempts and questions are counted apart, by origin.

use super::*;
use records::Sections;

fn own() -> Trier {
    Trier::ourselves()
}

fn service(unit: &str) -> Trier {
    Trier { origin: Origin::Service(unit.into()), favour: Favour::Owner }
}

const NOW: u64 = 1_700_000_000_000_000;

fn stranger(uid: u32) -> Trier {
    Trier { origin: Origin::User(uid), favour: Favour::Stranger }
}

fn machine() -> records::Machine {
    let id = records::MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
    records::Machine { id, host: records::HostName("a".into()) }
}

fn fresh() -> Attempts {
    let record = Record::parse(r#"{"userName":"alice","rateLimitBurst":3}"#, Sections::HOST);
    Attempts::of(&record.expect("valid"), &machine())
}

#[test]
fn who_asks_without_a_secret_uses_up_no_attempts() {
    let mut attempts = fresh();
    let asked = (0..100).filter(|_| attempts.ask(&own(), NOW).is_ok()).count();
    assert_eq!(asked, 3, "they have a bound of their own");
    assert_eq!(attempts.take(&own(), NOW), Ok(()));
    assert_eq!(attempts.lately(&own(), NOW), 4);
    let asked = (0..10_000).filter(|uid| attempts.ask(&stranger(*uid), NOW).is_ok()).count();
    assert_eq!(asked, STRANGERS);
}

#[test]
fn a_stranger_uses_up_its_own_attempts_only() {
    let mut attempts = fresh();
    for _ in 0..100 {
        let _ = attempts.take(&stranger(2000), NOW);
    }
    assert!(attempts.take(&stranger(2000), NOW).is_err());
    assert_eq!(attempts.take(&stranger(2001), NOW), Ok(()));
    assert_eq!(attempts.take(&own(), NOW), Ok(()));
}

#[test]
fn who_guesses_over_the_network_uses_up_neither_the_seat_nor_the_prompt() {
    let (mut attempts, second) = (fresh(), Duration::from_secs(1));
    for _ in 0..50 {
        let _ = attempts.take(&service("ssh.service"), NOW);
        attempts.failed(&service("ssh.service"), NOW, second, Duration::ZERO);
    }
    assert!(attempts.take(&service("ssh.service"), NOW).is_err());
    for unit in ["getty@.service", "homed-prompt.service", "gdm.service"] {
        assert_eq!(attempts.take(&service(unit), NOW), Ok(()), "{unit}");
        assert_eq!(attempts.failed(&service(unit), NOW, second, Duration::ZERO), second, "{unit}");
        assert!(attempts.lately(&service(unit), NOW) < attempts.lately(&service("ssh.service"), NOW));
    }
    assert_eq!(attempts.take(&own(), NOW), Ok(()));
    // So it is after the daemon was started again.
    let record = Record::parse(r#"{"userName":"alice","rateLimitBurst":3}"#, Sections::HOST).expect("valid");
    let mut again = Attempts::of(&record.with_status(&machine().id, attempts.status()), &machine());
    assert!(again.take(&service("ssh.service"), NOW).is_err());
    assert_eq!(again.take(&service("getty@.service"), NOW), Ok(()));
}

#[test]
fn many_strangers_fill_a_bounded_table_and_still_not_the_owners_window() {
    let mut attempts = fresh();
    let taken = (0..10_000).filter(|uid| attempts.take(&stranger(*uid), NOW).is_ok()).count();
    assert_eq!(taken, STRANGERS);
    assert_eq!(attempts.take(&own(), NOW), Ok(()));
    assert_eq!(attempts.take(&stranger(1), NOW + STRANGER.interval_usec), Ok(()));
}

#[test]
fn the_records_own_limit_holds_and_says_when_to_come_again() {
    let mut attempts = fresh();
    for _ in 0..3 {
        assert_eq!(attempts.take(&own(), NOW), Ok(()));
    }
    assert_eq!(attempts.take(&own(), NOW + 20_000_000), Err(Duration::from_secs(40)));
    assert_eq!(attempts.take(&own(), NOW + 60_000_000), Ok(()));
}

#[test]
fn a_clock_that_went_back_locks_nobody_out() {
    let mut attempts = fresh();
    for _ in 0..3 {
        assert_eq!(attempts.take(&own(), NOW), Ok(()));
    }
    assert_eq!(attempts.take(&own(), NOW - 1), Ok(()));
}

#[test]
fn counters_survive_on_disk() {
    let mut attempts = fresh();
    attempts.take(&own(), NOW).expect("first");
    attempts.failed(&own(), NOW, Duration::ZERO, Duration::ZERO);
    let record = Record::parse(r#"{"userName":"alice"}"#, Sections::HOST).expect("valid");
    let stored = record.with_status(&machine().id, attempts.status());
    assert_eq!(Attempts::of(&stored, &machine()).status(), attempts.status());
}

#[test]
fn a_daemon_that_starts_anew_goes_on_with_the_pauses() {
    let (mut attempts, second) = (fresh(), Duration::from_secs(1));
    for _ in 0..5 {
        let _ = attempts.take(&own(), NOW);
        attempts.failed(&own(), NOW, second, Duration::ZERO);
    }
    let record = Record::parse(r#"{"userName":"alice","rateLimitBurst":9}"#, Sections::HOST).expect("valid");
    let again = |attempts: &Attempts| {
        Attempts::of(&record.clone().with_status(&machine().id, attempts.status()), &machine())
    };
    assert_eq!(again(&attempts).tries[&Origin::Owner].failures_in_a_row, 5);
    attempts.succeeded(&own(), NOW);
    assert_eq!(again(&attempts).tries[&Origin::Owner].failures_in_a_row, 0);
}

#[test]
fn the_answer_comes_at_a_multiple_of_the_grain() {
    let (grain, none) = (Duration::from_secs(3), Duration::ZERO);
    assert_eq!(delay(grain, Duration::from_millis(400), none), Duration::from_millis(2600));
    assert_eq!(delay(grain, Duration::from_millis(3400), none), Duration::from_millis(2600));
    assert_eq!(delay(grain, Duration::from_millis(400), Duration::from_secs(4)), Duration::from_millis(5600));
    assert_eq!(delay(Duration::ZERO, Duration::from_millis(400), none), Duration::ZERO);
}

#[test]
fn failures_in_a_row_cost_more_and_a_success_forgives() {
    let (mut attempts, grain) = (fresh(), Duration::from_secs(1));
    let costs: Vec<u64> =
        (0..7).map(|_| attempts.failed(&own(), NOW, grain, Duration::ZERO).as_secs()).collect();
    assert_eq!(costs, [1, 1, 1, 2, 3, 5, 9]);
    attempts.succeeded(&own(), NOW);
    assert_eq!(attempts.failed(&own(), NOW, grain, Duration::ZERO).as_secs(), 1);
}
