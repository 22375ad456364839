//! Which system the tests run against: one in this process (the default), or one that is running elsewhere.
//!
//! | variable | |
//! | --- | --- |
//! | `OMS_TARGET` | its URL, such as `http://127.0.0.1:9000` of `cargo local lambda`; absent: in process |
//! | `OMS_ADMIN_EMAIL`, `OMS_ADMIN_PASSWORD` | an admin of it |
//! | `OMS_TALLY` | a file to which every test adds a line that says where it ran: on the `target`, `in-process`, or in process though it could `anywhere` |
//!
//! All tests there share one database with each other and with whoever else uses it. A test that needs one of
//! its own, a clock of its own, or to look inside, says so by [`Shop::open_in_process`], and runs in process
//! whatever the target is: nothing is skipped. `.ci/run` has run these before it comes to targets, and leaves them out
//! there by the tally.
//!
//! [`Shop::open_in_process`]: crate::shop::Shop::open_in_process

use std::io::Write as _;
use std::sync::LazyLock;

/// A system that is running elsewhere.
#[derive(Debug)]
pub struct Target {
    /// Its URL, without a slash at the end.
    pub base: String,
    /// An admin's e-mail address.
    pub admin_email: String,
    /// The admin's password.
    pub admin_password: String,
}

/// The system elsewhere that the environment names; `None`: in process.
pub fn target() -> Option<&'static Target> {
    static TARGET: LazyLock<Option<Target>> = LazyLock::new(|| {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let base = variable("OMS_TARGET").filter(|target| target != "in-process")?;
        assert!(base.starts_with("http"), "OMS_TARGET is neither a URL nor in-process: {base}");
        let required = |name| variable(name).unwrap_or_else(|| panic!("{name} is required with OMS_TARGET"));
        Some(Target {
            base: base.trim_end_matches('/').to_owned(),
            admin_email: required("OMS_ADMIN_EMAIL"),
            admin_password: required("OMS_ADMIN_PASSWORD"),
        })
    });
    TARGET.as_ref()
}

/// Adds a line to the tally, if one is kept: where the test of this thread has opened its shop.
pub(crate) fn tally(place: &str) {
    let Some(path) = std::env::var_os("OMS_TALLY") else { return };
    let test = std::thread::current();
    let line = format!("{place} {}\n", test.name().unwrap_or("?"));
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("OMS_TALLY: {error}"));
}
