//! The README's tour, pasted into a shell as a new user would: it must answer what the README shows.

#![expect(clippy::unwrap_used, reason = "in a test a panic is how one fails")]

mod running;

use std::path::Path;
use std::process::Command;

use running::Running;

/// A step of the tour: what is pasted, and what the README shows below it.
struct Step {
    paste: String,
    shown: Option<String>,
}

/// The fenced blocks below "A tour", up to the next heading.
fn tour() -> Vec<Step> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let tour = readme.split_once("## A tour").unwrap().1.split_once("\n## ").unwrap().0;
    let mut steps: Vec<Step> = Vec::new();
    for (place, block) in tour.split("```").enumerate() {
        // Every second piece is inside of fences.
        if place % 2 == 0 {
            continue;
        }
        match block.split_once('\n').unwrap() {
            ("sh", paste) => steps.push(Step { paste: paste.to_owned(), shown: None }),
            (_, shown) => steps.last_mut().unwrap().shown = Some(shown.trim().to_owned()),
        }
    }
    steps
}

/// Whether `text` is what is shown, where `…` stands for anything.
fn is_as_shown(shown: &str, text: &str) -> bool {
    let mut pieces = shown.split('…');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let found =
            if pieces.peek().is_none() { rest.strip_suffix(piece).map(str::len) } else { rest.find(piece) };
        match found {
            Some(place) => rest = &rest[place + piece.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

#[test]
fn the_tour_answers_what_the_readme_shows() {
    let (shop, _lines) = Running::start();

    // One shell for all of it, as in a terminal; a mark after each step tells the answers apart.
    const MARK: &str = "-- next step --";
    let steps = tour();
    assert!(steps.len() >= 8);
    let script: String = steps.iter().map(|step| format!("{}\necho '{MARK}'\n", step.paste)).collect();
    // A terminal shows both outputs, and so must the test.
    let script = format!("exec 2>&1\n{}", script.replace("http://127.0.0.1:8080", &shop.base));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    drop(shop);

    let answers = String::from_utf8(output.stdout).unwrap();
    let mut answers = answers.split(MARK).map(str::trim);
    for step in &steps {
        let answer = answers.next().unwrap_or_default();
        let shown = step.shown.as_deref().unwrap_or_default();
        if !is_as_shown(shown, answer) {
            panic!("{}\nanswers\n{answer}\nand the README shows\n{shown}", step.paste);
        }
    }
}
