//! Styles, scripts and icon. Their paths have their hash, so that browsers keep them for good.
//!
//! Scripts have their integrity beside it, and those of others are compared with the hashes that were reviewed.
//!
//! While a deployment shifts traffic, a page of one version may ask the other version for its files. It then gets
//! those of that other version, which are not stored. A script with other content is refused by its integrity.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::LazyLock;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, header};
use ring::digest;
use shared::error::{Error, Kind};

use crate::http::Failure;
use crate::texts;

/// Static file.
struct File {
    path: String,
    /// Parts of the path before and after its hash.
    around_hash: [String; 2],
    content_type: HeaderValue,
    content: &'static str,
}

static STYLES: LazyLock<File> = LazyLock::new(|| {
    File::new("console", "css", "text/css; charset=utf-8", include_str!("../assets/console.css"))
});

static ICON: LazyLock<File> =
    LazyLock::new(|| File::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")));

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Script of signed-in pages.
pub(crate) struct Script {
    /// Path without the base path.
    pub(crate) path: String,
    /// Value of `integrity`: a browser runs no other content.
    pub(crate) integrity: String,
}

/// Files of the scripts, in the order in which they run.
static SCRIPT_FILES: LazyLock<[File; 3]> = LazyLock::new(|| {
    [
        File::new("htmx", "js", JAVASCRIPT, include_str!("../assets/vendor/htmx.min.js")),
        File::new("idiomorph", "js", JAVASCRIPT, include_str!("../assets/vendor/idiomorph-ext.min.js")),
        File::new("live", "js", JAVASCRIPT, include_str!("../assets/live.js")),
    ]
});

static SCRIPTS: LazyLock<Vec<Script>> = LazyLock::new(|| {
    let script = |file: &File| Script { path: file.path.clone(), integrity: integrity(file.content) };
    SCRIPT_FILES.iter().map(script).collect()
});

/// Settings of htmx: no evaluation, no styles of its own, no request elsewhere, and no page in the browser's storage.
/// Only a 200 is swapped into a page.
pub(crate) const HTMX_CONFIG: &str = concat!(
    r#"{"allowEval":false,"allowScriptTags":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,"#,
    r#""historyEnabled":false,"historyCacheSize":0,"historyRestoreAsHxRequest":false,"timeout":20000,"#,
    r#""attributesToSettle":[],"defaultSettleDelay":0,"#,
    r#""responseHandling":[{"code":"200","swap":true},{"code":"...","swap":false}]}"#,
);

/// Integrity of a content, as W3C's Subresource Integrity has it.
fn integrity(content: &str) -> String {
    format!("sha384-{}", STANDARD.encode(digest::digest(&digest::SHA384, content.as_bytes())))
}

impl File {
    fn new(stem: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(content.as_bytes());
        let around_hash = [format!("/console/assets/{stem}."), format!(".{extension}")];
        let [before, after] = &around_hash;
        let path = format!("{before}{:016x}{after}", hasher.finish());
        Self { path, around_hash, content_type: HeaderValue::from_static(content_type), content }
    }

    /// True for the path of this file in any version.
    fn is_at(&self, path: &str) -> bool {
        let [before, after] = &self.around_hash;
        let hash = path.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
        hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

/// Path of the styles.
pub(crate) fn styles() -> &'static str {
    &STYLES.path
}

/// Path of the icon.
pub(crate) fn icon() -> &'static str {
    &ICON.path
}

/// Scripts of signed-in pages, in the order in which they run.
pub(crate) fn scripts() -> &'static [Script] {
    &SCRIPTS
}

/// Answers with the file of this path. Other content has another path, and is not stored under this one.
pub(crate) async fn answer(request: Request) -> Result<Response, Failure> {
    let path = request.uri().path();
    let file = [&*STYLES, &*ICON].into_iter().chain(SCRIPT_FILES.iter()).find(|file| file.is_at(path));
    let file = file.ok_or_else(|| Error::new(Kind::NotFound, texts::NO_SUCH_PAGE))?;
    let keep = if file.path == path { "public, max-age=31536000, immutable" } else { "no-store" };
    let keep = HeaderValue::from_static(keep);
    let headers = [(header::CONTENT_TYPE, file.content_type.clone()), (header::CACHE_CONTROL, keep)];
    Ok((headers, file.content).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_file_has_its_hash() {
        let file = |content| File::new("a", "css", "text/css", content).path;
        assert_eq!(file("x"), file("x"));
        assert_ne!(file("x"), file("y"));
        assert!(styles().starts_with("/console/assets/console.") && styles().ends_with(".css"));
        assert!(icon().starts_with("/console/assets/icon.") && icon().ends_with(".svg"));
        for (script, name) in scripts().iter().zip(["htmx", "idiomorph", "live"]) {
            assert!(script.path.starts_with(&format!("/console/assets/{name}.")), "{}", script.path);
            assert!(script.path.ends_with(".js"), "{}", script.path);
        }
    }

    #[test]
    fn scripts_of_others_are_those_that_were_reviewed() {
        let readme = include_str!("../assets/vendor/README.md");
        for (place, sha256, sha384) in [
            (
                0,
                "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
                "2OatzQy1H+Zd/IIrjr1TcuDGqLXeHhbooAyJY1KdQMKnr4LZ22k31GBLdYKHmVjg",
            ),
            (
                1,
                "5811b9a7eda14878b7dab4378bf60432e1bb6f11fcfb970cc26540642650181e",
                "+iBk70O0UWQdSjXQSQ7amSxXCrsWq/6UOtvC9rDo0p7telbTSOyttExq6QCFBzNk",
            ),
        ] {
            let content = SCRIPT_FILES[place].content.as_bytes();
            let hash = digest::digest(&digest::SHA256, content);
            let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, sha256);
            assert_eq!(scripts()[place].integrity, format!("sha384-{sha384}"));
            assert!(readme.contains(sha256) && readme.contains(sha384));
        }
    }

    #[test]
    fn the_settings_of_htmx_forbid_evaluation_and_storage() {
        let config: serde_json::Value = serde_json::from_str(HTMX_CONFIG).unwrap();
        for (name, expected) in [
            ("allowEval", serde_json::json!(false)),
            ("allowScriptTags", false.into()),
            ("includeIndicatorStyles", false.into()),
            ("selfRequestsOnly", true.into()),
            ("historyEnabled", false.into()),
            ("historyCacheSize", 0.into()),
        ] {
            assert_eq!(config[name], expected, "{name}");
        }
    }

    #[test]
    fn the_own_script_is_small_and_evaluates_nothing() {
        let live = SCRIPT_FILES[2].content;
        assert!(live.lines().count() < 120);
        for forbidden in ["eval(", "Function(", "innerHTML", "document.write", "localStorage", ".style"] {
            assert!(!live.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn styles_load_nothing() {
        assert!(!STYLES.content.contains("url(") && !STYLES.content.contains("@import"));
    }
}
