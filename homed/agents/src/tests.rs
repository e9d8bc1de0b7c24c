use super::*;

const ASKED: Asked<'_> = Asked {
    message: "Password of alice:\nSocket=/tmp/evil",
    id: "homed:alice",
    icon: "user-home",
    echo: false,
    patience: Some(Duration::from_secs(60)),
};

/// The value of a line of the question.
fn value<'a>(question: &'a str, name: &str) -> Vec<&'a str> {
    question.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

/// The question that lies in a folder, as an agent finds it.
fn lies(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).expect("folder").flatten();
    let mut questions = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("ask."));
    questions.next().and_then(|entry| std::fs::read_to_string(entry.path()).ok())
}

fn secret(datagram: &[u8]) -> Option<Vec<u8>> {
    match given(datagram) {
        Some(Answer::Given(secret)) => Some(secret.open().to_vec()),
        Some(Answer::Declined) | None => None,
    }
}

#[test]
fn an_answer_is_taken_without_what_ends_it() {
    assert_eq!(secret(b"+pass\0").as_deref(), Some(&b"pass"[..]));
    assert_eq!(secret(b"+first\0second\0").as_deref(), Some(&b"first"[..]));
    assert_eq!(secret(b"+pass").as_deref(), Some(&b"pass"[..]));
    assert!(matches!(given(b"-"), Some(Answer::Declined)));
    assert!(given(b"").is_none() && given(b"pass").is_none());
}

#[test]
fn a_message_cannot_add_lines_to_the_question() {
    let text = text(Path::new("/run/s"), &ASKED);
    assert_eq!(value(&text, "Socket"), ["/run/s"]);
    assert_eq!(value(&text, "Message"), ["Password of alice: Socket=/tmp/evil"]);
    assert_eq!((value(&text, "Echo"), value(&text, "AcceptCached")), (vec!["0"], vec!["0"]));
    let not_after: u128 = value(&text, "NotAfter")[0].parse().expect("a number");
    assert!(not_after > now().as_micros());
}

#[test]
fn an_agent_answers_and_the_question_is_taken_back() {
    let folder = tempfile::tempdir().expect("scratch folder");
    let question = Question::put(folder.path(), "test", &ASKED).expect("put");
    let text = lies(folder.path()).expect("it lies there");
    assert!(question.answer().expect("no error").is_none());
    let agent = UnixDatagram::unbound().expect("socket");
    agent.send_to(b"+correct\0", value(&text, "Socket")[0]).expect("answered");
    assert!(
        matches!(question.answer().expect("no error"), Some(Answer::Given(given)) if given.matches(b"correct"))
    );
    drop(question);
    assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
}

#[test]
fn nobody_is_waited_for_longer_than_was_said() {
    let folder = tempfile::tempdir().expect("scratch folder");
    let asked = Asked { patience: Some(Duration::from_millis(20)), ..ASKED };
    assert!(ask(folder.path(), "test", &asked).expect("no error").is_none());
    assert!(lies(folder.path()).is_none());
}
