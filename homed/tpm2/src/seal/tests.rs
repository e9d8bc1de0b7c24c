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
