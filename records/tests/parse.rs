//! What is not a record: one row per mistake, named by what is wrong with it.

use records::{Record, Sections};

#[test]
fn every_mistake_is_named_by_its_member() {
    let deep = format!(r#"{{"userName":"alice","x":{}{}}}"#, "[".repeat(60), "]".repeat(60));
    for (text, member) in [
        ("", ""),
        ("[]", ""),
        (r#"{"userName":"alice"} x"#, ""),
        (r#"{"userName":"alice","x":1,"x":2}"#, ""),
        (deep.as_str(), ""),
        (r#"{"realName":"nobody"}"#, "userName"),
        (r#"{"userName":1}"#, "userName"),
        (r#"{"userName":"root"}"#, "userName"),
        (r#"{"userName":"../x"}"#, "userName"),
        (r#"{"userName":"alice","secret":{}}"#, "secret"),
        (r#"{"userName":"alice","realName":"a:b"}"#, "realName"),
        (r#"{"userName":"alice","realName":"a\nb"}"#, "realName"),
        (r#"{"userName":"alice","homeDirectory":"home"}"#, "homeDirectory"),
        (r#"{"userName":"alice","homeDirectory":"/home/../etc"}"#, "homeDirectory"),
        (r#"{"userName":"alice","uid":-1}"#, "uid"),
        (r#"{"userName":"alice","uid":4294967295}"#, "uid"),
        (r#"{"userName":"alice","umask":99999}"#, "umask"),
        (r#"{"userName":"alice","niceLevel":20}"#, "niceLevel"),
        (r#"{"userName":"alice","storage":"floppy"}"#, "storage"),
        (r#"{"userName":"alice","memberOf":["a b"]}"#, "memberOf"),
        (r#"{"userName":"alice","environment":["=x"]}"#, "environment"),
        (r#"{"userName":"alice","partitionUuid":"x"}"#, "partitionUuid"),
        (r#"{"userName":"alice","blobManifest":{".x":"0"}}"#, "blobManifest"),
        (r#"{"userName":"alice","privileged":[]}"#, "privileged"),
        (r#"{"userName":"alice","privileged":{"hashedPassword":"x"}}"#, "privileged.hashedPassword"),
        (r#"{"userName":"alice","privileged":{"hashedPassword":["a:b"]}}"#, "privileged.hashedPassword"),
        (r#"{"userName":"alice","privileged":{"recoveryKey":[{}]}}"#, "privileged.recoveryKey"),
        (r#"{"userName":"alice","perMachine":{}}"#, "perMachine"),
        (r#"{"userName":"alice","perMachine":[{"userName":"bob"}]}"#, "perMachine.userName"),
        (r#"{"userName":"alice","perMachine":[{"matchMachineId":"x"}]}"#, "perMachine.matchMachineId"),
        (r#"{"userName":"alice","binding":{"x":{}}}"#, "binding"),
        (r#"{"userName":"alice","signature":[{}]}"#, "signature"),
    ] {
        let refused = Record::parse(text, Sections::HOST).expect_err(text);
        assert_eq!(refused.member, member, "{text}: {refused}");
        assert!(!refused.to_string().contains("a b"), "quotes a value: {refused}");
    }
}

#[test]
fn the_secret_goes_apart() {
    let text = r#"{"userName":"alice","secret":{"password":["geheim"]},"x":1}"#;
    let (record, secret) = Record::parse_request(text).expect("valid");
    assert_eq!(record.to_compact(), r#"{"userName":"alice","x":1}"#);
    assert_eq!(secret.expect("there").open(), br#"{"password":["geheim"]}"#);
    assert!(Record::parse_request(r#"{"userName":"alice","binding":{}}"#).is_err());
}

#[test]
fn later_layers_win_on_the_machine_they_are_for() {
    use records::{HostName, Machine, MachineId};
    let here = "a".repeat(32);
    let text = format!(
        r#"{{"userName":"alice","shell":"/bin/sh","uid":1000,
            "perMachine":[{{"matchMachineId":["{here}"],"shell":"/bin/zsh"}},{{"matchNotMachineId":"{here}","shell":"/bin/no"}}],
            "binding":{{"{here}":{{"uid":60001,"homeDirectory":"/home/al"}}}},
            "status":{{"{here}":{{"diskSize":5,"state":"active"}}}}}}"#
    );
    let record = Record::parse(&text, Sections::HOST).expect("valid");
    let on = |id: &str| {
        record.on(&Machine { id: MachineId::parse(id).expect("valid"), host: HostName("h".into()) })
    };
    let (this, other) = (on(&here), on(&"b".repeat(32)));
    assert_eq!((this.effective_shell(), this.uid, this.disk_size), ("/bin/zsh", Some(60001), Some(5)));
    assert_eq!(this.effective_home_directory(), "/home/al");
    assert_eq!((other.effective_shell(), other.uid, other.disk_size), ("/bin/no", Some(1000), None));
    assert_eq!(other.effective_home_directory(), "/home/alice");
}
