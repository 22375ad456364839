//! Texts of pages that take pasted lines.

pub(crate) const PREVIEW: &str = "Preview";
pub(crate) const PREVIEW_AGAIN: &str = "Preview again";
pub(crate) const CORRECT: &str = "Correct the lines";

pub(crate) const LINE: &str = "Line";
pub(crate) const PROBLEM: &str = "Problem";
pub(crate) const ANSWER: &str = "Answer";

pub(crate) const NO_LINES: &str = "must have at least one line";
/// Fault of hidden fields that no preview has made.
pub(crate) const NO_PREVIEW: &str = "does not come from a preview";

/// Fault of a field with too many lines.
pub(crate) fn too_many_lines(lines: usize, most: usize) -> String {
    format!("must have at most {most} lines; got {lines}")
}

/// Numbers of lines, for a sentence.
pub(crate) fn numbers(lines: &[usize]) -> String {
    lines.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
