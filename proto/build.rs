//! Compiles the .proto files to Rust. protox parses them, so `protoc` need not be installed.

use prost_types::FileDescriptorSet;
use prost_types::method_options::IdempotencyLevel;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=oms");
    let files = protox::compile(
        [
            "oms/common/v1/common.proto",
            "oms/orders/v1/orders.proto",
            "oms/products/v1/products.proto",
            "oms/users/v1/users.proto",
        ],
        ["."],
    )?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("repeatable.rs"), format!("&{:?}", repeatable(&files)))?;
    if std::env::var_os("CARGO_FEATURE_DESCRIPTORS").is_some() {
        std::fs::write(out.join("oms.bin"), prost::Message::encode_to_vec(&files))?;
    }
    tonic_prost_build::configure()
        // tonic's own transport is not used: Lambda has no socket, and sockets use hyper (see `shared::rpc`).
        .build_transport(false)
        // Sorted maps give equal messages equal bytes: fingerprints of requests are made from them.
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}

/// Paths of the methods whose `idempotency_level` allows repeating a call.
fn repeatable(files: &FileDescriptorSet) -> Vec<String> {
    let mut paths = Vec::new();
    for file in &files.file {
        for service in &file.service {
            for method in &service.method {
                let level = method.options.as_ref().map(|options| options.idempotency_level());
                if level.is_some_and(|level| level != IdempotencyLevel::IdempotencyUnknown) {
                    paths.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
    }
    paths
}
