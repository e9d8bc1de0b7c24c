use super::*;
use crate::Line;
use std::collections::VecDeque;

/// A TPM that gives these responses, whatever it is asked.
struct Script(VecDeque<Vec<u8>>);

impl Line for Script {
    fn ask(&mut self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        Ok(Zeroizing::new(self.0.pop_front().unwrap_or_default()))
    }
}

fn session() -> Session {
    Session { handle: 0x0300_0000, key: Zeroizing::new([5; DIGEST]), from_tpm: vec![6; DIGEST] }
}

const WISH: Wish<'_> = Wish {
    command: command::UNSEAL,
    object: (0x8000_0001, b"name"),
    authorization: b"",
    first: None,
    others: &[],
};

/// A response under the session, with this tag.
fn response(tag: &[u8]) -> Vec<u8> {
    let parameters = Out::new().sized(b"hidden");
    let authorization = Out::new().sized(&[7; DIGEST]).u8(CONTINUE).sized(tag);
    let size = 10 + 4 + parameters.get().len() + authorization.get().len();
    let head = Out::new().u16(0x8002).u32(u32::try_from(size).expect("short")).u32(0);
    let size = u32::try_from(parameters.get().len()).expect("short");
    head.u32(size).bytes(parameters.get()).bytes(authorization.get()).get().to_vec()
}

fn run(bytes: Vec<u8>) -> Result<Response, Failure> {
    let mut line = Script([bytes].into());
    session().run(&mut Tpm::new(&mut line), &WISH)
}

#[test]
fn a_response_that_is_not_the_tpms_is_refused() {
    let broken = |answer: Result<Response, Failure>| matches!(answer, Err(Failure::Broken(_)));
    assert!(broken(run(response(&[0; DIGEST]))));
    assert!(broken(run(response(b""))));
    assert!(broken(run(Vec::new())));
    let whole = response(&[0; DIGEST]);
    for end in 0..whole.len() {
        assert!(broken(run(whole[..end].to_vec())), "ends at {end}");
    }
}

#[test]
fn what_the_tpm_puts_off_is_sent_again_and_not_for_ever() {
    let later = Out::new().u16(0x8001).u32(10).u32(0x922).get().to_vec();
    let mut line = Script(std::iter::repeat_n(later, 1000).collect());
    let told = session().run(&mut Tpm::new(&mut line), &WISH);
    assert!(matches!(told, Err(Failure::Broken(text)) if text.contains("again and again")));
    assert!(line.0.len() > 800);
}
