//! Styles and icon. Their paths have their hash, so that browsers keep them for good.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::LazyLock;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use shared::error::{Error, Kind};

use crate::http::Failure;
use crate::texts;

/// Static file.
struct File {
    path: String,
    content_type: HeaderValue,
    content: &'static str,
}

static STYLES: LazyLock<File> = LazyLock::new(|| {
    File::new("console", "css", "text/css; charset=utf-8", include_str!("../assets/console.css"))
});

static ICON: LazyLock<File> =
    LazyLock::new(|| File::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")));

impl File {
    fn new(stem: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(content.as_bytes());
        let path = format!("/console/assets/{stem}.{:016x}.{extension}", hasher.finish());
        Self { path, content_type: HeaderValue::from_static(content_type), content }
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

/// Answers with the file of this path. Other content has another path.
pub(crate) async fn answer(request: Request) -> Result<Response, Failure> {
    let path = request.uri().path();
    let file = [&*STYLES, &*ICON].into_iter().find(|file| file.path == path);
    let file = file.ok_or_else(|| Error::new(Kind::NotFound, texts::NO_SUCH_PAGE))?;
    let keep = HeaderValue::from_static("public, max-age=31536000, immutable");
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
    }

    #[test]
    fn styles_load_nothing() {
        assert!(!STYLES.content.contains("url(") && !STYLES.content.contains("@import"));
    }
}
