//! The plan of the house, held by a test: who may use whom, what is pure, where `unsafe` is, how long things
//! are. Reads the sources as text; needs no machine.

mod layering {
    pub mod errnos;
    pub mod kinds;
    pub mod paths;
    pub mod places;
    pub mod purity;
    pub mod rooms;
    pub mod safety;
    pub mod size;
    pub mod source;
    pub mod table;
    pub mod tree;
    pub mod unsafe_places;
}

use layering::{errnos, kinds, places, purity, rooms, safety, size, table, tree, unsafe_places};

fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn arrows_point_down() {
    none(tree::sources().iter().flat_map(|source| rooms::check(&table::ROOMS, source)).collect());
}

#[test]
fn no_two_rooms_use_each_other() {
    none(rooms::circles(&table::ROOMS));
}

#[test]
fn a_package_depends_on_what_its_rooms_may_use() {
    let manifests = tree::manifests();
    none(
        manifests.iter().flat_map(|(path, text)| rooms::check_manifest(&table::ROOMS, path, text)).collect(),
    );
}

#[test]
fn every_room_of_the_table_has_files() {
    let sources = tree::sources();
    let inhabited =
        |at: &str| sources.iter().any(|s| rooms::room(&table::ROOMS, &s.path).is_some_and(|r| r.at == at));
    let empty = table::ROOMS.iter().filter(|room| !inhabited(room.at));
    none(empty.map(|room| format!("{}: no file lies there", room.at)).collect());
    let unknown = places::PURE.iter().filter(|name| table::ROOMS.iter().all(|room| room.name != **name));
    none(unknown.map(|name| format!("{name}: pure, and not in the table")).collect());
}

#[test]
fn the_core_is_pure() {
    let is_pure =
        |path| rooms::room(&table::ROOMS, path).is_some_and(|room| places::PURE.contains(&room.name));
    let core = tree::sources().iter().filter(|source| is_pure(&source.path));
    none(core.flat_map(purity::check).collect());
}

#[test]
fn nothing_on_the_loop_waits_for_a_file_system() {
    let sources = tree::sources();
    let known = |path: &&&str| sources.iter().any(|source| source.path == **path);
    assert_eq!(places::ON_THE_LOOP.iter().filter(known).count(), places::ON_THE_LOOP.len());
    let on_it = sources.iter().filter(|source| places::ON_THE_LOOP.contains(&source.path.as_str()));
    none(on_it.flat_map(|source| purity::check_waits(places::ASIDE, source)).collect());
}

#[test]
fn numbers_of_errors_stay_in_the_ground() {
    let above = tree::sources().iter().filter(|source| !errnos::is_ground(&source.path));
    none(above.flat_map(errnos::check).collect());
}

#[test]
fn a_kind_is_a_file_and_a_line() {
    let look = |source: &layering::source::Source| {
        let text = std::fs::read_to_string(tree::top().join(&source.path)).expect("the file is there");
        kinds::check(places::NAMES_A_KIND, places::IS_A_KIND, source, &text)
    };
    none(tree::sources().iter().flat_map(look).collect());
}

#[test]
fn unsafe_is_where_it_belongs_and_says_why() {
    let sources = tree::sources();
    none(safety::check_list(unsafe_places::UNSAFE, sources));
    none(
        sources
            .iter()
            .flat_map(|source| safety::check_switches(unsafe_places::MAY_ALLOW_UNSAFE, source))
            .collect(),
    );
    none(sources.iter().flat_map(safety::check_reasons).collect());
}

#[test]
fn files_and_functions_are_short_and_files_well_named() {
    let sources = tree::sources();
    none(sources.iter().flat_map(size::check).collect());
    none(sources.iter().filter_map(|source| size::check_name(&source.path)).collect());
    println!("{}", size::medians(sources));
}

#[test]
fn arguments_that_belong_together_have_names() {
    none(tree::sources().iter().flat_map(size::check_arguments).collect());
}
