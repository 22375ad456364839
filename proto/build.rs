//! Compiles the .proto files to Rust. protox parses them, so that no `protoc` needs to be installed.

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
    if std::env::var_os("CARGO_FEATURE_DESCRIPTORS").is_some() {
        let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
        std::fs::write(out.join("oms.bin"), prost::Message::encode_to_vec(&files))?;
    }
    tonic_prost_build::configure()
        // Only HTTP/2 on a socket needs tonic's own transport; between Lambdas there is none.
        .build_transport(false)
        // Equal messages have equal bytes: fingerprints of requests are made from them.
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}
