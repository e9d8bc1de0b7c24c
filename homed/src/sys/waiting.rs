//! Waiting for what the kernel does in its own time and tells nobody of.

use std::time::{Duration, Instant};

/// The first pause between two looks; each pause is twice as long as the one before,
const SHORTEST: Duration = Duration::from_micros(500);
/// … up to this.
const LONGEST: Duration = Duration::from_millis(20);

/// Looks again and again until it is so, or the bound is over: `false`.
pub fn wait_until<E>(bound: Duration, mut look: impl FnMut() -> Result<bool, E>) -> Result<bool, E> {
    let begin = Instant::now();
    let mut pause = SHORTEST;
    loop {
        if look()? {
            return Ok(true);
        }
        if begin.elapsed() >= bound {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = LONGEST.min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_it_is_so_when_time_is_over_and_when_looking_fails() {
        let mut looks = 0;
        let third = || {
            looks += 1;
            Ok::<_, ()>(looks == 3)
        };
        assert_eq!(wait_until(Duration::from_secs(60), third), Ok(true));
        assert_eq!(wait_until(Duration::ZERO, || Ok::<_, ()>(false)), Ok(false));
        assert_eq!(wait_until(Duration::from_secs(60), || Err("blind")), Err("blind"));
    }
}
