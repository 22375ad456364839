//! Words by which products are found, folded for case and accents.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Words of a text, each once, sorted. A word is a run of letters and digits. Compatibility forms are
/// decomposed (NFKD, Unicode annex 15), marks are removed, and the rest is in lower case.
pub fn words(text: &str) -> BTreeSet<String> {
    let folded: String = text
        .nfkd()
        .flat_map(char::to_lowercase)
        .filter(|&character| !is_combining_mark(character))
        // The only letter whose lower case depends on its position in the word.
        .map(|character| if character == 'ς' { 'σ' } else { character })
        .collect();
    folded
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<String> {
        words(text).into_iter().collect()
    }

    #[test]
    fn case_and_accents_make_no_difference() {
        for (written, found) in [
            ("CRÈME brûlée", "creme Brulee"),
            ("Ｍｕｇ", "mug"),
            ("ΟΔΟΣ", "οδός"),
            ("İzmir", "izmir"),
            ("ﬁne", "FINE"),
        ] {
            assert_eq!(words(written), words(found), "{written}");
        }
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(of("BEAN-Ethiopia_250.g: a bean, 1kg"), ["1kg", "250", "a", "bean", "ethiopia", "g"]);
        for none in ["", "***", " \0\n", "☕", ".^$|(["] {
            assert!(of(none).is_empty(), "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn the_words_of_words_are_the_same(text in ".*") {
            let once = words(&text);
            let again = words(&of(&text).join(" "));
            prop_assert_eq!(once, again);
        }
    }
}
