//! Words by which products are found, folded for case and accents.

use std::collections::BTreeSet;

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Version of the folding. Raise it with every change of [`words`], so that the schema step makes the stored
/// words anew.
pub const FOLDING: i32 = 2;

/// Words of a text, each once, sorted. A word is a run of letters and digits. Compatibility forms are
/// decomposed (NFKD, Unicode annex 15), case is folded in full (`ß` as `ss`), and marks are removed. Letters
/// that have a stroke or are two in one are as people type them without: `ł` as `l`, `æ` as `ae`.
pub fn words(text: &str) -> BTreeSet<String> {
    let decomposed: String = text.nfkd().collect();
    let mut folded = String::with_capacity(decomposed.len());
    // Folding may compose: what it makes is decomposed once more.
    for character in UniCase::unicode(decomposed).to_folded_case().nfkd() {
        match character {
            _ if is_combining_mark(character) => {}
            'ł' => folded.push('l'),
            'ø' => folded.push('o'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ŧ' => folded.push('t'),
            'ı' => folded.push('i'),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            _ => folded.push(character),
        }
    }
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
            ("Größe", "GRÖSSE"),
            ("FUSSBALL", "Fußball"),
            ("STRAẞE", "straße"),
            ("Łódź", "lodz"),
            ("smørrebrød", "SMORREBROD"),
            ("Đorđe", "dorde"),
            ("Ærø", "aero"),
            ("ᏣᎳᎩ", "ꮳꮃꭹ"),
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
