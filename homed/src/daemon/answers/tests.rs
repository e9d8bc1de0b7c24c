use super::*;
use crate::storage::whereabouts::Storage;

const MOUNTS: Mounts = [Some(30), Some(30)];

fn place(user: &str) -> Place {
    Place {
        user: UserName::parse(user).expect("valid"),
        home_directory: format!("/home/{user}"),
        image: format!("/srv/{user}.home"),
        kind: records::Storage::OF_HOMES[0],
        luks_uuid: None,
    }
}

fn found(storage: Storage) -> Found {
    Found { storage, spot: None }
}

fn begin(answers: &Answers, place: &Place) -> (Asker, Option<Question>) {
    let asker = answers.asker();
    (asker, answers.begin(place, asker, MOUNTS))
}

#[test]
fn the_newest_question_counts_and_one_that_hangs_leaves_no_answer() {
    let (answers, alice) = (Answers::default(), place("alice"));
    assert!(!answers.knows(&alice) && answers.of(&alice).is_none());
    let ((_, first), (_, second)) = (begin(&answers, &alice), begin(&answers, &alice));
    assert!(!second.expect("none hangs").answered(found(Storage::There)));
    assert!(!first.expect("none hangs").answered(found(Storage::Missing)));
    assert_eq!(answers.of(&alice), Some(found(Storage::There)), "the older one knows less");

    let (asker, hanging) = begin(&answers, &alice);
    assert!(answers.give_up(&alice, asker) && answers.hangs(&alice));
    assert_eq!(answers.of(&alice), None);
    assert!(begin(&answers, &alice).1.is_none(), "one that hangs is enough");
    assert!(hanging.expect("asked").answered(found(Storage::Dirty)), "it is told of");
    assert_eq!(answers.of(&alice), Some(found(Storage::Dirty)));
    // Given up when it had just ended: the answer stays.
    let (asker, question) = begin(&answers, &alice);
    question.expect("none hangs").answered(found(Storage::There));
    assert!(!answers.give_up(&alice, asker));
    assert_eq!(answers.of(&alice), Some(found(Storage::There)));
}

#[test]
fn where_the_home_directory_is_stays_known_while_storage_hangs() {
    let (answers, alice) = (Answers::default(), place("alice"));
    let spot = Spot::of(Path::new("/proc/sys")).ok();
    begin(&answers, &alice)
        .1
        .expect("none hangs")
        .answered(Found { storage: Storage::There, spot: spot.clone() });
    let (asker, hanging) = begin(&answers, &alice);
    answers.give_up(&alice, asker);
    assert!(answers.of(&alice).is_none() && spot.is_some());
    assert_eq!(answers.spot_of(&alice), spot);
    drop(hanging);
}

#[test]
fn who_gives_up_gives_up_their_own_questions_alone() {
    let (answers, alice) = (Answers::default(), place("alice"));
    let (impatient, first) = begin(&answers, &alice);
    let (_, second) = begin(&answers, &alice);
    assert!(answers.give_up(&alice, impatient));
    assert!(!second.expect("none hung yet").answered(found(Storage::There)), "somebody waited for it");
    assert_eq!(answers.of(&alice), Some(found(Storage::There)));
    // The first one knows less, whenever it comes.
    assert!(first.expect("asked").answered(found(Storage::Missing)));
    assert_eq!(answers.of(&alice), Some(found(Storage::There)));
    assert!(!answers.hangs(&alice));
}

#[test]
fn a_younger_answer_outlives_who_gives_up_an_older_question() {
    let (answers, alice) = (Answers::default(), place("alice"));
    let (impatient, _older) = begin(&answers, &alice);
    begin(&answers, &alice).1.expect("none hangs").answered(found(Storage::There));
    answers.give_up(&alice, impatient);
    assert_eq!(answers.of(&alice), Some(found(Storage::There)));
}

#[test]
fn another_mount_at_the_place_is_asked_though_the_one_before_hangs() {
    let (answers, alice) = (Answers::default(), place("alice"));
    let (asker, hanging) = begin(&answers, &alice);
    answers.give_up(&alice, asker);
    let question = answers.begin(&alice, answers.asker(), [Some(31), Some(30)]).expect("another mount");
    question.answered(found(Storage::There));
    drop(hanging);
    assert_eq!(answers.of(&alice), Some(found(Storage::There)));
}

#[test]
fn what_hangs_in_a_folder_is_bounded_and_other_folders_are_asked() {
    let answers = Answers::default();
    let mut hanging = Vec::new();
    for number in 0..MOST_IN_FOLDER {
        let place = place(&format!("u{number}"));
        let (asker, question) = begin(&answers, &place);
        hanging.push(question.expect("few hang"));
        answers.give_up(&place, asker);
    }
    let (other, elsewhere) = (place("bob"), Place { image: "/home/alice.home".into(), ..place("alice") });
    assert!(begin(&answers, &other).1.is_none());
    assert!(begin(&answers, &elsewhere).1.is_some());
    hanging.pop();
    assert!(begin(&answers, &other).1.is_some(), "the folder answers again");
}

#[test]
fn one_that_ends_without_an_answer_tells_nothing_and_hangs_no_more() {
    let (answers, alice) = (Answers::default(), place("alice"));
    begin(&answers, &alice).1.expect("none hangs").answered(found(Storage::There));
    drop(begin(&answers, &alice));
    assert_eq!(answers.of(&alice), Some(found(Storage::There)));
    let (asker, hanging) = begin(&answers, &alice);
    answers.give_up(&alice, asker);
    assert!(hanging.expect("asked").ended(), "it is told of, for what hung is to be asked again");
    assert!(begin(&answers, &alice).1.is_some());
}

#[test]
fn another_place_or_another_home_of_the_same_user_is_another_question() {
    let (answers, alice) = (Answers::default(), place("alice"));
    begin(&answers, &alice).1.expect("none hangs").answered(found(Storage::There));
    let moved = Place { image: "/mnt/alice.home".into(), ..alice.clone() };
    assert!(answers.of(&moved).is_none() && !answers.knows(&moved));
    let (_, question) = begin(&answers, &alice);
    drop(begin(&answers, &moved));
    assert!(!question.expect("asked").answered(found(Storage::Missing)));
    assert!(answers.of(&alice).is_none() && answers.of(&moved).is_none());

    // Removed and made again: what was asked about the home before says nothing of this one.
    let (_, old) = begin(&answers, &moved);
    answers.forget(&alice.user);
    assert!(!answers.knows(&moved));
    drop(begin(&answers, &moved));
    old.expect("asked").answered(found(Storage::There));
    assert!(answers.of(&moved).is_none());
}
