//! The picture of the rooms in docs/architecture.md shows every file that there is, and no other.

use std::collections::BTreeSet;
use std::fs;

use super::{read, root};

/// The columns of the picture in which files stand: before them is the room, behind them what the files are for.
const FILES: std::ops::Range<usize> = 11..71;
/// Returns the files that the picture shows, each with its room, in its order. A room without files is there, too.
fn shown(page: &str) -> Vec<(String, String)> {
    let (_, picture) = page.split_once("```text\nwords ").expect("a picture of the rooms");
    let (picture, _) = picture.split_once("```").expect("its end");
    let mut shown = Vec::new();
    let mut room = "words".to_owned();
    for line in format!("words {picture}").lines() {
        let columns = |range: std::ops::Range<usize>| line.get(range.start..range.end.min(line.len())).unwrap_or("");
        let begun = columns(0..FILES.start).trim();
        if !begun.is_empty() {
            begun.clone_into(&mut room);
        }
        let files: Vec<&str> = columns(FILES).split_whitespace().collect();
        shown.extend(files.iter().map(|file| (room.clone(), (*file).to_owned())));
        if files.is_empty() {
            shown.push((room.clone(), String::new()));
        }
    }
    shown
}

/// Returns the names in a folder, without `.rs`, tests and the file that lists the others; none where there is no such
/// folder.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned());
    let names = names.map(|name| name.strip_suffix(".rs").unwrap_or(&name).to_owned());
    names.filter(|name| !["mod", "main", "lib", "tests"].contains(&&**name)).collect()
}

#[test]
fn the_picture_of_the_rooms_shows_every_file_and_no_other() {
    let shown = shown(&read("docs/architecture.md"));
    let there: BTreeSet<(String, String)> = names("src")
        .into_iter()
        .flat_map(|room| {
            let files = names(&if room == "bin" { "src/bin/standin".to_owned() } else { format!("src/{room}") });
            let files = if files.is_empty() { BTreeSet::from([String::new()]) } else { files };
            files.into_iter().map(move |file| (room.clone(), file))
        })
        .collect();
    let drawn: BTreeSet<(String, String)> = shown.iter().cloned().collect();
    let missing: Vec<_> = there.difference(&drawn).collect();
    let gone: Vec<_> = drawn.difference(&there).collect();
    assert!(missing.is_empty() && gone.is_empty(), "docs/architecture.md lacks {missing:?} and has {gone:?} too much");
    assert_eq!(drawn.len(), shown.len(), "a file stands there twice");
}

#[test]
fn the_picture_has_the_files_of_each_room_in_their_order() {
    let shown = shown(&read("docs/architecture.md"));
    for room in names("src") {
        let top = [format!("src/{room}/mod.rs"), format!("src/{room}.rs"), format!("src/{room}/standin/main.rs")];
        let top = top.iter().find(|file| root().join(file).exists()).expect("the room's own file");
        let source = read(top);
        let declared = source.lines().filter(|line| line.starts_with("mod ") || line.starts_with("pub"));
        let declared = declared.filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
        let declared: Vec<&str> = declared.filter(|name| *name != "tests").collect();
        let drawn = shown.iter().filter(|(of, file)| *of == room && !file.is_empty() && !file.contains('.'));
        let drawn: Vec<&str> = drawn.map(|(_, file)| &**file).collect();
        assert_eq!(drawn, declared, "{room}");
    }
}
