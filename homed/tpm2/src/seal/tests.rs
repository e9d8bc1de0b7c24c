use super::*;

#[test]
fn the_policy_of_a_pin_alone_is_the_known_one() {
    struct Nobody;
    impl Line for Nobody {
        fn ask(&mut self, _: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
            Err(Failure::Broken("asked".into()))
        }
    }
    let mut line = Nobody;
    let digest = policy(&mut Tpm::new(&mut line), &[]).expect("reckoned");
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    // As in TCG's "EK Credential Profile" and tpm2-tools: PolicyAuthValue on a new session.
    assert_eq!(text, "8fcd2169ab92694e0c633f1ab772842b8241bbc20288981fc7ac1eddc1fddb0e");
    for wrong in [&[24][..], &[7, 7], &[7, 1]] {
        assert!(matches!(policy(&mut Tpm::new(&mut line), wrong), Err(Failure::Unsuitable(_))));
    }
}

#[test]
fn a_selection_has_a_bit_for_each() {
    assert_eq!(selection(&[0, 7, 23]).get(), [0, 0, 0, 1, 0, 11, 3, 0x81, 0, 0x80]);
}

/// A TPM that says what it has counted, and knows nothing else.
struct Counts {
    is_now: bool,
    counted: u32,
    most: u32,
}

impl Line for Counts {
    fn ask(&mut self, command: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
        let mut read = In::new(command);
        let head = (read.u16()?, read.u32()?, read.u32()?, read.u32()?);
        assert_eq!(head, (0x8001, 22, 0x17a, 6), "nothing but properties is asked for");
        let property = read.u32()?;
        let value = match property {
            0x200 => u32::from(self.is_now) << 9,
            0x20e => self.counted,
            0x20f => self.most,
            other => panic!("asked for {other:#x}"),
        };
        let answer = Out::new().u16(0x8001).u32(27).u32(0).u8(0).u32(6).u32(1).u32(property).u32(value);
        Ok(zeroize::Zeroizing::new(answer.get().to_vec()))
    }
}

#[test]
fn a_quarter_of_the_tries_is_left_to_others() {
    let sealed = Sealed {
        srk: Vec::new(),
        public: Vec::new(),
        private: Vec::new(),
        salt: Vec::new(),
        cost: Cost { memory: 8, passes: 1, lanes: 1 },
        pcrs: Vec::new(),
    };
    let told = |is_now: bool, counted: u32, most: u32| {
        let mut line = Counts { is_now, counted, most };
        let pin = Secret::from_text("1234".into());
        unseal(&mut line, &sealed, &pin, &mut || panic!("a try is counted")).err()
    };
    for (most, tried) in [(32, 24), (10, 8), (4, 3), (3, 2), (2, 1)] {
        // What it is asked to open is nothing, which it is only told where a PIN could be tried.
        assert!(matches!(told(false, tried - 1, most), Some(Failure::Unsuitable(_))), "{tried} of {most}");
        assert_eq!(told(false, tried, most), Some(Failure::NearLockout), "{tried} of {most}");
        assert_eq!(told(true, most, most), Some(Failure::LockedOut));
    }
    for (counted, most) in [(0, 0), (0, 1), (9, 3)] {
        assert_eq!(told(false, counted, most), Some(Failure::NearLockout));
    }
}
