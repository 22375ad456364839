//! Compiles the .proto files to Rust. protox parses them, so `protoc` need not be installed.

use prost_types::FileDescriptorSet;
use prost_types::method_options::IdempotencyLevel;
use protox::Compiler;
use protox::prost_reflect::{DescriptorPool, MethodDescriptor, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=oms");
    let mut compiler = Compiler::new(["."])?;
    compiler.include_source_info(true).include_imports(true).open_files([
        "oms/common/v1/callers.proto",
        "oms/common/v1/common.proto",
        "oms/orders/v1/orders.proto",
        "oms/products/v1/products.proto",
        "oms/users/v1/users.proto",
    ])?;
    let files = compiler.file_descriptor_set();
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("repeatable.rs"), format!("&{:?}", repeatable(&files)))?;
    std::fs::write(out.join("callers.rs"), callers(&compiler.descriptor_pool())?)?;
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

/// Table of all methods, as Rust: path, and the functions that may call it.
fn callers(pool: &DescriptorPool) -> Result<String, Box<dyn std::error::Error>> {
    let option = pool.get_extension_by_name("oms.common.v1.callers").ok_or("there is no option `callers`")?;
    let callers = |method: &MethodDescriptor| match method.options().get_extension(&option).as_ref() {
        Value::List(callers) => callers.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let row = |method: MethodDescriptor| {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        format!("({path:?}, &{:?}),", callers(&method))
    };
    Ok(format!("&[{}]", methods.map(row).collect::<String>()))
}
