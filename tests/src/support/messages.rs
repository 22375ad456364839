//! Checks of error messages.

use crate::answer::Answer;

/// The problem of this type, whose message must have all of these words.
#[track_caller]
pub fn says(answer: Answer, status: u16, slug: &str, words: &[&str]) -> Answer {
    let answer = answer.problem(status, slug);
    let detail = answer.text("detail");
    for word in words {
        assert!(detail.contains(word), "{}: {word:?} is not in {detail:?}", answer.request);
    }
    answer
}

/// The one fault of a body: where it is, and all that it says.
#[track_caller]
pub fn fault(answer: Answer, pointer: &str, says: &str) {
    let answer = answer.faults_at(&[pointer]);
    assert_eq!(answer["errors"][0]["detail"], says, "{}", answer.request);
    let place = if pointer.is_empty() { "The body" } else { pointer };
    assert_eq!(answer["detail"], format!("{place} {says}."));
}
