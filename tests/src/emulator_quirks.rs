//! Where an emulator answers otherwise than API Gateway and Lambda do, by its own fault or nature: each with
//! its reason, and nowhere else. A test asks for a difference by name and leaves out just what it touches.
//!
//! `OMS_EMULATOR` says which emulator the target is: `watch` for `cargo lambda watch`, `sam` for
//! `sam local start-api`, `small-lambda` for the small Lambda of the tests, `nginx` for the gateway of containers.
//! Without it nothing is left out.

/// Something that the target does otherwise. All were seen with cargo-lambda 1.9.1, SAM 1.170 or the small Lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// Its HTTP front reads a body to its end before it asks the function, as API Gateway does too: that an
    /// answer needs no body can only be seen where the function itself listens.
    WaitsForBodies,
    /// Its HTTP front answers a JSON body that is not UTF-8 with a 500 or a 502 of its own; API Gateway would hand
    /// it over in base64.
    WantsUtf8Bodies,
    /// Its HTTP front puts headers into the event as text, and answers one that is not ASCII by itself.
    WantsAsciiHeaders,
    /// Its HTTP front hands over one line of a header that has several; API Gateway joins them with commas.
    KeepsOneLineOfAHeader,
    /// Its HTTP front resolves `.` and `..` in a path before it routes.
    TidiesPaths,
    /// Its HTTP front takes several slashes for one.
    MergesSlashes,
    /// Its HTTP front puts a path into the event without its percent-encoding, so that nobody can tell what was
    /// sent; API Gateway's `rawPath` keeps it.
    DecodesPaths,
    /// It answers a method other than the seven that it takes `ANY` for by itself.
    KnowsSevenMethods,
    /// It gives every request the same `requestId`.
    RepeatsRequestIds,
    /// It refuses by itself a path with a NUL, with a `%` that begins no byte, that leads above the root, or of more
    /// than 8 KB.
    RefusesPaths,
}

/// Returns true if the target's front refuses this path by itself.
pub fn refuses_path(path: &str) -> bool {
    let is_byte = |escape: &str| {
        let digits = escape.get(..2);
        digits.is_some_and(|it| it != "00" && it.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let is_refused = path.len() > 8_000 || path.contains("..%2F") || !path.split('%').skip(1).all(is_byte);
    Quirk::RefusesPaths.is_here() && is_refused
}

impl Quirk {
    /// True if the target has it.
    pub fn is_here(self) -> bool {
        crate::target::target().is_some()
            && match std::env::var("OMS_EMULATOR").as_deref() {
                Ok("watch") => match self {
                    Self::WaitsForBodies
                    | Self::WantsUtf8Bodies
                    | Self::WantsAsciiHeaders
                    | Self::KeepsOneLineOfAHeader
                    | Self::TidiesPaths => true,
                    Self::MergesSlashes
                    | Self::DecodesPaths
                    | Self::KnowsSevenMethods
                    | Self::RepeatsRequestIds
                    | Self::RefusesPaths => false,
                },
                Ok("sam") => match self {
                    Self::WaitsForBodies
                    | Self::WantsUtf8Bodies
                    | Self::TidiesPaths
                    | Self::MergesSlashes
                    | Self::DecodesPaths
                    | Self::KnowsSevenMethods
                    | Self::RepeatsRequestIds => true,
                    Self::WantsAsciiHeaders | Self::KeepsOneLineOfAHeader | Self::RefusesPaths => false,
                },
                Ok("nginx") => matches!(
                    self,
                    Self::WaitsForBodies
                        | Self::KeepsOneLineOfAHeader
                        | Self::KnowsSevenMethods
                        | Self::RefusesPaths
                ),
                Ok("small-lambda") => self == Self::WaitsForBodies,
                Ok(other) if !other.is_empty() => panic!("OMS_EMULATOR: {other} is not known"),
                _ => false,
            }
    }
}
