//! What is printed, compared with the files in `golden/`. `UPDATE_GOLDEN=1` rewrites them: read the diff.

use homectl::bus::{Failure, HomeRow};
use homectl::context::{Legend, Paint};
use homectl::hint::{Asked, explain};
use homectl::record_text::{self, Details, View};
use homectl::verb::list::table;
use homectl::verb::status::screen::text;
use homectl::verb::{VERBS, check};
use records::health;
use records::{HostName, Machine, MachineId, Record, Refusal, Sections};
use std::path::PathBuf;

fn compare(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("there is a golden file");
    assert_eq!(text, golden, "{name} changed; if that is meant: UPDATE_GOLDEN=1");
}

fn inspected(file: &str) -> String {
    let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("an id");
    let machine = Machine { id, host: HostName("here".to_owned()) };
    let record = Record::parse(file, Sections::OWNER).expect("a valid record");
    record_text::format(
        &record,
        &View {
            machine: &machine,
            now_usec: 1_795_000_000_000_000,
            paint: Paint::Plain,
            details: Details::Hidden,
        },
    )
}

#[test]
fn inspect_of_an_active_home() {
    compare("inspect-active.txt", &inspected(include_str!("golden/active.json")));
}

#[test]
fn inspect_of_a_bare_record() {
    compare("inspect-bare.txt", &inspected(r#"{"userName":"bob"}"#));
}

#[test]
fn keys_are_listed_with_what_is_known_of_them() {
    let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("an id");
    let machine = Machine { id, host: HostName("here".to_owned()) };
    let keys = r#"[{"number":1,"kind":"smart card","model":"Card 5","pluggedIn":false},
        {"number":2,"kind":"security key","name":"blue","model":"Key 7","enrolledUSec":1794000000000000,"pluggedIn":true},
        {"number":3,"kind":"recovery key"}]"#;
    let record =
        format!(r#"{{"userName":"bob","status":{{"0123456789abcdef0123456789abcdef":{{"keys":{keys}}}}}}}"#);
    let record = Record::parse(&record, Sections::OWNER).expect("a valid record");
    let (paint, details) = (Paint::Plain, Details::Shown);
    let text = record_text::format(
        &record,
        &View { machine: &machine, now_usec: 1_795_000_000_000_000, paint, details },
    );
    let lines: Vec<&str> = text.lines().skip_while(|line| !line.contains("Keys:")).take(3).collect();
    compare("inspect-keys.txt", &format!("{}\n", lines.join("\n")));
}

fn home(name: &str, uid: u32, state: &str) -> HomeRow {
    let (home, shell) = (format!("/home/{name}"), "/bin/bash".to_owned());
    HomeRow {
        name: name.to_owned(),
        uid,
        state: state.to_owned(),
        gid: uid,
        real_name: format!("{name} 世界"),
        home,
        shell,
    }
}

#[test]
fn list() {
    let homes = [home("anna", 60100, "active"), home("bob", 60200, "inactive")];
    compare("list.txt", &table(&homes, Legend::Shown, Paint::Plain));
    compare("list-no-legend.txt", &table(&homes, Legend::Hidden, Paint::Plain));
    compare("list-color.txt", &table(&homes, Legend::Shown, Paint::Color));
    compare("list-empty.txt", &table(&[], Legend::Shown, Paint::Plain));
}

#[test]
fn help() {
    compare("help.txt", &homectl::options::describe::help());
}

fn report(kinds: &[(health::Kind, &str)]) -> serde_json::Value {
    let findings = kinds.iter().map(|(kind, detail)| health::Finding::with(*kind, detail)).collect();
    health::Report { findings, actions: Vec::new() }.to_json()
}

#[test]
fn reports() {
    use health::Kind;
    let sound = report(&[
        (Kind::ImageSound, "/home/anna.home, 256 MiB"),
        (Kind::TablesSound, ""),
        (Kind::HeadersSound, ""),
        (Kind::PasswordNotGiven, ""),
    ]);
    let damaged = report(&[
        (Kind::FirstTableDamaged, ""),
        (Kind::HomeRecordUnreadable, "reading .identity: it is no JSON"),
        (Kind::FileSystemErrors, "btrfs ended with exit status: 1: ERROR"),
    ]);
    let broken = report(&[(Kind::ImageSound, ""), (Kind::HeadersDamaged, "")]);
    let all = [sound, damaged.clone(), broken].map(|report| check::text("anna", &report)).join("\n");
    compare("check.txt", &all);
    compare("check.json", &format!("{damaged:#}\n"));
}

/// Two homes and a machine with all there is to tell, in the form that `status -j` has.
const STATUS: &str = include_str!("golden/status.json");

#[test]
fn status() {
    let report: serde_json::Value = serde_json::from_str(STATUS).expect("JSON");
    compare("status.txt", &text(&report, Paint::Plain));
    compare("status-color.txt", &text(&report, Paint::Color));
    let nothing =
        serde_json::json!({ "homes": [], "weaknesses": [], "inhibitors": [], "lastOpenSleep": null });
    compare("status-empty.txt", &text(&nothing, Paint::Plain));
}

/// The next step of every refusal of every verb: verbs that are told the same are in one line. `…` is whether anything was
/// lost, which depends on the verb alone.
#[test]
fn advice() {
    let lost = ["Nothing was changed.", "Nothing was made.", "Nothing was deleted."];
    let mut text = String::new();
    for refusal in Refusal::ALL {
        let failure = Failure::Refused(*refusal, refusal.sentence().to_owned());
        let mut told: Vec<(String, Vec<&str>)> = Vec::new();
        for verb in VERBS {
            let said = explain(&failure, Asked { verb: verb.name, what: "" });
            let advice = said.lines().nth(1).unwrap_or_default().trim();
            let is_lost = |lost: &&str| advice.strip_prefix(*lost).map(|next| format!("…{next}"));
            let line = lost.iter().find_map(is_lost).unwrap_or_else(|| advice.to_owned());
            // Verbs that change nothing anyway do not say so.
            let same = |other: &str| other.trim_start_matches("… ") == line.trim_start_matches("… ");
            match told.iter_mut().find(|(other, _)| same(other)) {
                Some((longer, verbs)) => {
                    verbs.push(verb.name);
                    if line.len() > longer.len() {
                        *longer = line;
                    }
                }
                None => told.push((line, vec![verb.name])),
            }
        }
        told.sort_by_key(|(_, verbs)| std::cmp::Reverse(verbs.len()));
        text.push_str(&format!("{refusal:?}: {}\n", refusal.sentence()));
        for (at, (line, verbs)) in told.iter().enumerate() {
            let of = if at == 0 { "others".to_owned() } else { verbs.join(" ") };
            text.push_str(&format!("  {of}: {line}\n"));
        }
    }
    compare("advice.txt", &text);
}
