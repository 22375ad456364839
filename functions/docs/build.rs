//! Compresses the files that the function serves, so that its binary has them as they are sent.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::Write as _;
use std::path::Path;
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Path and media type of each file. The order is that of `FILES` in `assets.rs`.
const FILES: [(&str, &str); 6] = [
    ("openapi.json", "application/json"),
    ("pages/docs.css", "text/css; charset=utf-8"),
    ("pages/docs.js", "text/javascript; charset=utf-8"),
    ("pages/icon.svg", "image/svg+xml"),
    ("vendor/swagger-ui/swagger-ui.css", "text/css; charset=utf-8"),
    ("vendor/swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var_os("OUT_DIR").unwrap_or_default();
    let mut table = String::from("[\n");
    for (path, content_type) in FILES {
        println!("cargo::rerun-if-changed={path}");
        let bytes = fs::read(path)?;
        let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let compressed = Path::new(&out).join(format!("{name}.gz"));
        let mut encoder = GzEncoder::new(fs::File::create(&compressed)?, Compression::best());
        encoder.write_all(&bytes)?;
        encoder.finish()?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let hash = format!("{:016x}", hasher.finish());
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        table.push_str(&format!(
            "File {{ path: {:?}, content_type: {content_type:?}, hash: Cow::Borrowed({hash:?}), gzipped: Bytes::from_static(include_bytes!({compressed:?})) }},\n",
            format!("/docs/assets/{stem}.{hash}.{extension}"),
        ));
    }
    table.push_str("]\n");
    fs::write(Path::new(&out).join("files.rs"), table)
}
