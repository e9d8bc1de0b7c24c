use super::*;
use crate::options::rows;

struct Fake;

impl World for Fake {
    fn homes(&self) -> Vec<HomeRow> {
        let home = |name: &str, state: &str| HomeRow {
            name: name.to_owned(),
            uid: 60001,
            state: state.to_owned(),
            gid: 60001,
            real_name: if name == "alice" { "Alice\tB\n".to_owned() } else { String::new() },
            home: format!("/home/{name}"),
            shell: "/bin/sh".to_owned(),
        };
        vec![home("alice", "active"), home("anna", "inactive"), home("bob", "locked")]
    }

    fn known(&self, what: Known) -> Vec<String> {
        vec![format!("{what:?}1").to_lowercase(), format!("{what:?}2").to_lowercase()]
    }
}

fn lines(typed: &str) -> Vec<String> {
    let words: Vec<&str> = typed.split(' ').collect();
    offers(&words, &Fake).iter().map(Offer::line).collect()
}

/// The words alone.
fn words(typed: &str) -> Vec<String> {
    lines(typed).iter().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn users_are_those_the_verb_does_something_for() {
    assert_eq!(lines("inspect "), ["alice\tAlice B , active", "anna\tinactive", "bob\tlocked"]);
    assert_eq!(lines("inspect a"), ["alice\tAlice B , active", "anna\tinactive"]);
    for (typed, users) in [
        ("activate ", &["anna"][..]),
        ("deactivate ", &["alice"]),
        ("lock -y ", &["alice"]),
        ("unlock ", &["bob"]),
        ("inspect bob al", &["alice"]),
        ("remove alice ", &["anna", "bob"]),
        ("export ", &["anna"]),
        ("convert ", &["accounts1", "accounts2", "converted1", "converted2"]),
        ("release a", &["alice", "anna"]),
        ("release rel", &["released1", "released2"]),
        ("release alice ", &[]),
        ("--json pretty passwd ", &["alice", "anna", "bob"]),
        ("passwd alice ", &[]),
        ("create ", &[]),
        ("frob ", &[]),
    ] {
        assert_eq!(words(typed), users, "{typed}");
    }
}

#[test]
fn values_are_those_of_the_rows() {
    for (typed, values) in [
        ("create x --storage=s", &["--storage=subvolume"][..]),
        ("create x --storage s", &["subvolume"]),
        ("create --fs-type=", &["--fs-type=btrfs", "--fs-type=ext4", "--fs-type=xfs"]),
        ("update --locked=", &["--locked=yes", "--locked=no"]),
        ("list --json=s", &["--json=short"]),
        ("update --match=t", &["--match=this"]),
        (
            "update --comment=x --fido2-credential-algorithm=e",
            &["--fido2-credential-algorithm=es256", "--fido2-credential-algorithm=eddsa"],
        ),
        ("update --disk-size=m", &["--disk-size=min", "--disk-size=max"]),
        ("update -G ", &["groups1", "groups2"]),
        ("update --member-of=+groups1,g", &["--member-of=+groups1,groups2"]),
        ("update --language=l", &["--language=locales1", "--language=locales2"]),
        ("update --timezone=", &["--timezone=zones1", "--timezone=zones2"]),
        ("update -s ", &["shells1", "shells2"]),
        ("update --rlimit=NO", &["--rlimit=NOFILE="]),
        ("update --capability-bounding-set=~cap_sys_b", &["--capability-bounding-set=~cap_sys_boot"]),
        ("update --pkcs11-token-uri=", &["--pkcs11-token-uri=auto", "--pkcs11-token-uri=list"]),
        ("update --ssh-authorized-keys=+", &["--ssh-authorized-keys=+@"]),
        ("-M ", &["containers1", "containers2"]),
        ("get-signing-key keys1 ", &["keys2"]),
        ("resize anna m", &["min", "max"]),
        ("snapshot alice re", &["restore"]),
        ("backup alice ", &["make", "list", "restore"]),
        ("update --nice=", &[]),
    ] {
        assert_eq!(words(typed), values, "{typed}");
    }
}

#[test]
fn what_only_the_shell_knows_is_left_to_it() {
    for (typed, line) in [
        ("create --identity=/r", ":files\t--identity="),
        ("create -I /r", ":files\t"),
        ("adopt /ho", ":files\t"),
        ("create --home-dir=", ":folders\t--home-dir="),
        ("rescue anna /mn", ":folders\t"),
        ("update --ssh-authorized-keys=+@/r", ":files\t--ssh-authorized-keys=+@"),
        ("send anna ser", ":hosts"),
        ("with anna l", ":command\t3"),
        ("with anna -- ls -", ":command\t4"),
        ("-j with anna ls -", ":command\t4"),
        ("inhibit-lock alice --why=x mak", ":command\t4"),
        ("inhibit-lock alice make -", ":command\t3"),
    ] {
        assert_eq!(lines(typed), [line], "{typed}");
    }
}

#[test]
fn options_are_those_that_do_something() {
    assert!(words("li").contains(&"list".to_owned()));
    assert_eq!(words("create anna --fs"), ["--fs-type="]);
    assert_eq!(words("inspect --fs"), Vec::<String>::new());
    assert_eq!(words("list --det"), Vec::<String>::new());
    assert_eq!(words("inspect --det"), ["--details"]);
    assert_eq!(words("create --comm"), ["--comment="]);
    assert!(words("create -").contains(&"-c".to_owned()) && !words("create --").contains(&"-c".to_owned()));
    assert!(words("inhibit-lock alice --w").contains(&"--why=".to_owned()));
    assert_eq!(words("inspect -- --det"), Vec::<String>::new());
}

/// A row whose value is enumerated in its help, or is known to the system, offers something.
#[test]
fn no_row_of_words_offers_nothing() {
    for row in rows() {
        let (Takes::One(called) | Takes::Perhaps(called)) = row.value else { continue };
        let enumerated =
            called == "BOOL" || called.split('|').any(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        if enumerated && !row.long.is_empty() {
            assert!(!lines(&format!("update --{}=", row.long)).is_empty(), "--{}={called}", row.long);
        }
    }
}

#[test]
fn a_name_cannot_add_lines() {
    let offer = Offer::word("anna\n:command\t1");
    assert!(!fits(&offer, ""));
}
