//! The system that portable tests run against: one in this process (the default), or one that is running elsewhere.
//!
//! | variable | |
//! | --- | --- |
//! | `OMS_TARGET` | its URL, such as `http://127.0.0.1:9000` of `cargo local lambda`; absent: in process |
//! | `OMS_ADMIN_EMAIL`, `OMS_ADMIN_PASSWORD` | an admin of it |
//! | `OMS_EMULATOR` | the emulator that it is, if it is one: see [`emulator_quirks`](crate::emulator_quirks) |
//!
//! All tests there share one database with each other and with everybody else who uses it.

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
