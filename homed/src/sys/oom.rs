//! Whom the kernel ends first when there is no memory left.

use std::io;

const PLACE: &str = "/proc/self/oom_score_adj";

/// While this value lives, this process is as likely to be ended as any other. It is restored when it goes.
pub struct Expendable(Option<String>);

/// The daemon and its workers are spared (`OOMScoreAdjust=`), so that what somebody else has them take would end others.
pub fn expendable() -> Expendable {
    let before =
        std::fs::read_to_string(PLACE).and_then(|before| std::fs::write(PLACE, "0").map(|()| before));
    Expendable(before.ok())
}

impl Drop for Expendable {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Lowering it takes CAP_SYS_RESOURCE; without it the process stays as it is, which harms nobody.
            let _: io::Result<()> = std::fs::write(PLACE, before.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_a_while() {
        let now = || std::fs::read_to_string(PLACE).expect("read").trim().to_owned();
        // Raising it is allowed to everybody.
        std::fs::write(PLACE, "7").expect("written");
        let for_a_while = expendable();
        assert_eq!(now(), if for_a_while.0.is_some() { "0" } else { "7" });
        drop(for_a_while);
        assert_eq!(now(), "7");
    }
}
