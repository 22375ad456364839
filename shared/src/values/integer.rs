//! Rules for whole numbers.

/// A whole number of `MIN` to `MAX`: a type that is only named, never made.
pub enum Integer<const MIN: i64, const MAX: i64> {}

impl<const MIN: i64, const MAX: i64> Integer<MIN, MAX> {
    /// The smallest number.
    pub const MIN: i64 = MIN;

    /// The largest number.
    pub const MAX: i64 = MAX;

    /// A rule for [`crate::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// The range, and the number that is out of it.
    pub fn parse(number: i64) -> Result<i64, String> {
        if (MIN..=MAX).contains(&number) {
            Ok(number)
        } else {
            Err(format!("must be {MIN} to {MAX}; got {number}"))
        }
    }
}
