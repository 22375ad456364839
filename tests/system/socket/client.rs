//! A foreign gRPC client, Python's grpcio: it finds every service and method by reflection.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::{Value, json};
use shared::values::ids::OrderId;
use tests::CALLERS_SECRET;
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tests::shop::Shop;
use tokio::sync::OnceCell;

use crate::socket::services::Services;

const PACKAGES: [&str; 3] = ["grpcio==1.85.1", "grpcio-reflection==1.85.1", "grpcio-health-checking==1.85.1"];

/// The folder where pip has put the client, once for all runs.
async fn packages() -> &'static Path {
    static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();
    FOLDER.get_or_init(async || tokio::task::spawn_blocking(install).await.unwrap()).await
}

fn install() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PACKAGES[0]);
    if !folder.exists() {
        let unfinished = folder.with_extension(std::process::id().to_string());
        let installed = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args(["--root-user-action=ignore", "--only-binary", ":all:", "--target"])
            .arg(&unfinished)
            .args(PACKAGES)
            .status();
        assert!(installed.unwrap().success(), "pip cannot install {PACKAGES:?}");
        // Another run may have been faster; then its folder is as good.
        let renamed = std::fs::rename(&unfinished, &folder);
        assert!(renamed.is_ok() || folder.exists(), "{renamed:?}");
    }
    folder
}

/// Runs the client with what it is given; what it prints.
pub(crate) async fn run(given: Value) -> Value {
    let packages = packages().await;
    let client = move || {
        let mut client = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/system/socket/client.py"))
            .env("PYTHONPATH", packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        serde_json::to_writer(client.stdin.take().unwrap(), &given).unwrap();
        client.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(client).await.unwrap();
    assert!(output.status.success(), "the client failed: see above");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Has the client call every method of the functions at these addresses, whose shop this is.
pub(crate) async fn calls_every_method(shop: &Shop, orders: &str, products: &str, users: &str) {
    let answer = run(json!({
        "addresses": { "orders": orders, "products": products, "users": users },
        "call": "every method",
        "email": shop.admin().email,
        "password": PASSWORD,
        "callers_secret": CALLERS_SECRET,
        "order_id": OrderId::new().to_string(),
    }))
    .await;
    let service = |name: &str| json!(["grpc.health.v1.Health", name]);
    let listed = json!({
        "orders": service("oms.orders.v1.OrderService"),
        "products": service("oms.products.v1.ProductService"),
        "users": service("oms.users.v1.UserService"),
    });
    assert_eq!(answer["listed"], listed);
    // All methods of the protocol, as its files declare them.
    let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let methods = |package: &str| {
        let file = set.file.iter().find(|file| file.package() == format!("oms.{package}.v1")).unwrap();
        let methods = file.service.iter().flat_map(|service| &service.method);
        methods.map(|method| method.name().to_owned()).collect::<BTreeSet<_>>()
    };
    for function in ["orders", "products", "users"] {
        assert_eq!(answer["called"][function], json!(methods(function)), "{function}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_ours_lists_and_calls_every_method() {
    let shop = InProcess::open().await;
    let Services { orders, products, users } = Services::open(&shop).await;
    calls_every_method(&shop, &orders.to_string(), &products.to_string(), &users.to_string()).await;
}
