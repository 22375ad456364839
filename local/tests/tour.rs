//! The README's tour, pasted into a shell as a new user would: it must answer what the README shows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how one fails")]

mod running;

use std::path::Path;
use std::process::Command;

use running::Running;

/// A step of the tour: its name, the pasted commands, and the output that the README shows below them.
struct Step {
    name: String,
    paste: String,
    shown: Option<String>,
}

/// The steps: a comment `<!-- tour: NAME -->`, then a block of commands, then perhaps a block of output.
fn tour() -> Vec<Step> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let steps = readme.split("<!-- tour: ").skip(1).map(|part| part.split_once(" -->\n").unwrap());
    steps
        .map(|(name, text)| {
            let (paste, rest) = block(text, "sh").unwrap_or_else(|| panic!("{name} has no commands"));
            let shown = block(rest, "json").map(|(shown, _)| shown.trim().to_owned());
            Step { name: name.to_owned(), paste: paste.to_owned(), shown }
        })
        .collect()
}

/// The fenced block that the text begins with, if it is of this language, and the text after it.
fn block<'a>(text: &'a str, language: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(&format!("```{language}\n"))?.split_once("```\n")
}

/// Returns true if `text` is the expected one, where `…` stands for anything.
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
            panic!("{}: {}\nanswers\n{answer}\nand the README shows\n{shown}", step.name, step.paste);
        }
    }
}
