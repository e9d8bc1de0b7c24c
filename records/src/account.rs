//! Whether an account may be used, and what its password needs: pure functions of record and time.

use crate::settings::Settings;

/// Whether the user may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginVerdict {
    /// Yes.
    Allowed,
    /// `locked`.
    Locked,
    /// `notBeforeUSec` is ahead.
    NotYet,
    /// `notAfterUSec` has passed.
    NoLonger,
}

/// What the password needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordVerdict {
    /// Nothing.
    Fine,
    /// The record asks for a new one now.
    ChangeNow,
    /// It has expired and must be changed.
    Expired,
    /// It has expired, and must not be changed any more: somebody has to help.
    ExpiredForGood,
    /// It expires in this many µs.
    ExpiresSoon(u64),
    /// It must not be changed yet.
    ChangeNotPermitted,
    /// The record does not say when it was changed, but its rules need that.
    NoTimestamp,
    /// It was changed in the future: this machine's clock is wrong.
    ClockWrong,
}

/// May the user log in?
pub fn login_verdict(settings: &Settings, now_usec: u64) -> LoginVerdict {
    if settings.locked == Some(true) {
        LoginVerdict::Locked
    } else if settings.not_before_usec.is_some_and(|begin| now_usec < begin) {
        LoginVerdict::NotYet
    } else if settings.not_after_usec.is_some_and(|end| now_usec > end) {
        LoginVerdict::NoLonger
    } else {
        LoginVerdict::Allowed
    }
}

/// Whether the record was changed after now: this machine's clock is behind, or another's was ahead.
/// Worth a line in the log; nobody is kept out for it.
pub fn is_from_the_future(settings: &Settings, now_usec: u64) -> bool {
    settings.last_change_usec.is_some_and(|changed| changed > now_usec)
}

/// What does the password need?
pub fn password_verdict(settings: &Settings, now_usec: u64) -> PasswordVerdict {
    if settings.password_change_now == Some(true) {
        return PasswordVerdict::ChangeNow;
    }
    let min = settings.password_change_min_usec;
    let max = settings.password_change_max_usec;
    if min.is_none() && max.is_none() {
        return PasswordVerdict::Fine;
    }
    let Some(changed) = settings.last_password_change_usec else {
        return PasswordVerdict::NoTimestamp;
    };
    let Some(age) = now_usec.checked_sub(changed) else {
        return PasswordVerdict::ClockWrong;
    };
    let too_young = min.is_some_and(|min| age < min);
    if let Some(max) = max {
        let inactive = settings.password_change_inactive_usec;
        if inactive.is_some_and(|inactive| age > max.saturating_add(inactive)) || (age > max && too_young) {
            return PasswordVerdict::ExpiredForGood;
        }
        if age > max {
            return PasswordVerdict::Expired;
        }
        if settings.password_change_warn_usec.is_some_and(|warn| max - age <= warn) {
            return PasswordVerdict::ExpiresSoon(max - age);
        }
    }
    if too_young { PasswordVerdict::ChangeNotPermitted } else { PasswordVerdict::Fine }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_login_verdict_has_its_case() {
        use LoginVerdict as V;
        let window =
            |begin, end| Settings { not_before_usec: begin, not_after_usec: end, ..Settings::default() };
        let locked = Settings { locked: Some(true), ..window(Some(50), None) };
        for (settings, now, verdict) in [
            (Settings::default(), 0, V::Allowed),
            (locked, 0, V::Locked),
            (window(Some(50), None), 49, V::NotYet),
            (window(Some(50), Some(60)), 50, V::Allowed),
            (window(Some(50), Some(60)), 60, V::Allowed),
            (window(None, Some(60)), 61, V::NoLonger),
        ] {
            assert_eq!(login_verdict(&settings, now), verdict, "{settings:?} at {now}");
        }
        let changed = Settings { last_change_usec: Some(5), ..Settings::default() };
        assert!(is_from_the_future(&changed, 4) && !is_from_the_future(&changed, 5));
    }

    #[test]
    fn every_password_verdict_has_its_case() {
        use PasswordVerdict as V;
        let ruled = |min, max, warn, inactive| Settings {
            last_password_change_usec: Some(100),
            password_change_min_usec: min,
            password_change_max_usec: max,
            password_change_warn_usec: warn,
            password_change_inactive_usec: inactive,
            ..Settings::default()
        };
        let asked = Settings { password_change_now: Some(true), ..Settings::default() };
        let undated = Settings { password_change_max_usec: Some(1), ..Settings::default() };
        for (settings, now, verdict) in [
            (Settings::default(), 0, V::Fine),
            (asked, 0, V::ChangeNow),
            (undated, 0, V::NoTimestamp),
            (ruled(Some(50), None, None, None), 50, V::ClockWrong),
            (ruled(Some(50), None, None, None), 120, V::ChangeNotPermitted),
            (ruled(Some(50), None, None, None), 150, V::Fine),
            (ruled(None, Some(50), Some(10), None), 130, V::Fine),
            (ruled(None, Some(50), Some(10), None), 145, V::ExpiresSoon(5)),
            (ruled(None, Some(50), None, Some(10)), 151, V::Expired),
            (ruled(None, Some(50), None, Some(10)), 161, V::ExpiredForGood),
            (ruled(Some(90), Some(50), None, None), 160, V::ExpiredForGood),
        ] {
            assert_eq!(password_verdict(&settings, now), verdict, "{settings:?} at {now}");
        }
    }
}
