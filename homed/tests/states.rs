//! `docs/STATES.md` has the answer to every verb in every state, as the code gives it. `HOMED_GOLDEN=write` writes it anew.

use homed::home::state::{Lingering, Purpose, Resting, State, Work};
use homed::home::verdict::{Favour, Held, Situation, Verb, Verdict, Waits, verdict};
use std::collections::BTreeSet;
use std::path::Path;

const BEGIN: &str = "<!-- drawn by homed/tests/states.rs: begin -->\n";
const END: &str = "<!-- drawn by homed/tests/states.rs: end -->\n";

/// What is being done, where the table has a column for it.
const DOING: [(&str, &[Work]); 3] = [
    ("a check", &[Work::Checking]),
    ("a change of size", &[Work::Resizing]),
    ("another job", &[Work::Activating(Purpose::Itself), Work::Deactivating, Work::Locking, Work::Updating]),
];

fn words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Start(work) => format!("**{work:?}**"),
        Verdict::AtOnce => "at once".into(),
        Verdict::Queue => "waits".into(),
        Verdict::Yield => "ends it".into(),
        Verdict::AlreadySo => "is so".into(),
        Verdict::Refuse(refusal) => format!("{refusal:?}"),
    }
}

/// One text where all are the same, else each with its name.
fn cell(answers: Vec<(&str, String)>) -> String {
    let different: BTreeSet<&String> = answers.iter().map(|(_, answer)| answer).collect();
    match (different.len(), answers.first()) {
        (1, Some((_, same))) => same.clone(),
        _ => answers.iter().map(|(name, answer)| format!("{name}: {answer}")).collect::<Vec<_>>().join("; "),
    }
}

fn situation(resting: Resting, doing: Option<Work>, held: Held, favour: Favour) -> Situation {
    Situation { state: State { resting, doing, lingering: Lingering::No }, held, favour, waits: Waits::No }
}

fn at_rest(verb: Verb, resting: Resting) -> String {
    let answers = [
        ("free", Held::No, Lingering::No),
        ("held", Held::Yes, Lingering::No),
        ("lingering", Held::No, Lingering::Yes),
    ];
    let lingers = |lingering| lingering == Lingering::No || resting == Resting::Active;
    let answers = answers.into_iter().filter(|(_, _, lingering)| lingers(*lingering));
    cell(
        answers
            .map(|(name, held, lingering)| {
                let state = State { resting, doing: None, lingering };
                (
                    name,
                    words(verdict(Situation { state, held, favour: Favour::Owner, waits: Waits::No }, verb)),
                )
            })
            .collect(),
    )
}

fn while_working(verb: Verb, works: &[Work]) -> String {
    let mut all: Vec<(&str, String)> = Vec::new();
    for (name, favour) in [("the owner's", Favour::Owner), ("a stranger's", Favour::Stranger)] {
        let mut answers = BTreeSet::new();
        for (resting, held) in Resting::ALL.iter().flat_map(|at| [(*at, Held::No), (*at, Held::Yes)]) {
            answers.extend(
                works.iter().map(|work| words(verdict(situation(resting, Some(*work), held, favour), verb))),
            );
        }
        all.push((name, Vec::from_iter(answers).join(" or ")));
    }
    cell(all)
}

fn row(verb: Verb, cells: impl Iterator<Item = String>) -> String {
    format!("| {verb:?} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn drawn() -> String {
    let head =
        |names: Vec<String>| format!("| | {} |\n|{}\n", names.join(" | "), " --- |".repeat(names.len() + 1));
    let mut text = String::from("\nAt rest (bold: this work starts):\n\n");
    text += &head(Resting::ALL.iter().map(|at| format!("{at:?}").to_lowercase()).collect());
    text.extend(Verb::ALL.map(|verb| row(verb, Resting::ALL.iter().map(|at| at_rest(verb, *at)))));
    text += "\nWhile something is done (tending makes way for whatever starts something at rest):\n\n";
    text += &head(DOING.iter().map(|(name, _)| (*name).to_owned()).collect());
    text.extend(Verb::ALL.map(|verb| row(verb, DOING.iter().map(|(_, works)| while_working(verb, works)))));
    text + "\n"
}

#[test]
fn the_table_of_all_answers_is_the_code_s() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/STATES.md");
    let text = std::fs::read_to_string(&path).expect("the file is there");
    let (before, rest) = text.split_once(BEGIN).expect("it has a place for the table");
    let (table, after) = rest.split_once(END).expect("which ends");
    if std::env::var_os("HOMED_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", drawn())).expect("written");
        return;
    }
    let differs = table
        .lines()
        .zip(drawn().lines().map(str::to_owned).collect::<Vec<_>>())
        .find(|(old, new)| old != new);
    assert!(
        differs.is_none() && table == drawn(),
        "HOMED_GOLDEN=write draws it anew; the first line that differs: {differs:?}"
    );
}
