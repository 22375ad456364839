//! Rights of functions: which methods each may call on its own behalf, in envelopes and over sockets, and that
//! nothing makes one of them an admin.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use proto::orders::v1::{CreateOrderRequest, GetOrderRequest, ListOrdersRequest};
use proto::products::v1::{GetProductRequest, UpdateStockRequest};
use proto::users::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, UpdateUserRequest, User,
};
use shared::auth::{Access, Caller, Role};
use shared::rpc::channel::Channel;
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tests::shop::new_email;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::socket::services::{Services, over_http2};
use crate::support::grpc::{by, caller, channel, claiming, to_orders, to_products, to_users};

/// Functions that may call each method on their own behalf, written out once more. No function may call another one.
const CALLERS: [(&str, &[&str]); 15] = [
    ("/oms.orders.v1.OrderService/CheckConsistency", &["maintenance"]),
    ("/oms.orders.v1.OrderService/Reconcile", &["schedule"]),
    ("/oms.products.v1.ProductService/AuditHolds", &["orders"]),
    ("/oms.products.v1.ProductService/AuditStock", &["orders"]),
    ("/oms.products.v1.ProductService/FoldJournals", &["orders"]),
    ("/oms.products.v1.ProductService/GetHolds", &["orders"]),
    ("/oms.products.v1.ProductService/GetOldestEntry", &["orders"]),
    ("/oms.products.v1.ProductService/HoldStock", &["orders"]),
    ("/oms.products.v1.ProductService/ListHolds", &["orders"]),
    ("/oms.products.v1.ProductService/MoveStock", &["orders"]),
    ("/oms.products.v1.ProductService/PruneHolds", &["orders"]),
    ("/oms.products.v1.ProductService/RestockReturned", &["orders"]),
    ("/oms.products.v1.ProductService/ShipStock", &["orders"]),
    ("/oms.users.v1.UserService/GetSigningKeys", &["orders", "products"]),
    ("/oms.users.v1.UserService/GetUser", &["orders"]),
];

/// Names that a caller may give itself; `None` is an earlier build.
const NAMES: [Option<&str>; 10] = [
    None,
    Some("orders"),
    Some("products"),
    Some("users"),
    Some("docs"),
    Some("console"),
    Some("schedule"),
    Some("maintenance"),
    Some("admin"),
    Some("orders,products"),
];

/// Metadata of a call without a context of its own.
type Metadata<'a> = Vec<(&'static str, &'a str)>;

/// Calls a method with an empty message. The status, and its text.
async fn ask(channel: &Channel, path: &str, metadata: &[(&'static str, &str)]) -> (Code, String) {
    let deadline = Clock::system().now().after(std::time::Duration::from_secs(20));
    let headers = metadata::request((), &Context::new(Caller::Anonymous, deadline)).metadata().clone();
    let body = Full::new(bytes::Bytes::from_static(&[0; 5]));
    let mut request = http::Request::post(path).body(Body::new(body)).unwrap();
    *request.headers_mut() = headers.into_headers();
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    for (name, value) in metadata {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let status = match channel.clone().oneshot(request).await {
        Err(status) => status,
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap();
            let trailers = body.trailers().and_then(Status::from_header_map);
            trailers.or_else(|| Status::from_header_map(&head.headers)).unwrap()
        }
    };
    (status.code(), status.message().to_owned())
}

/// Channels to the function that has the method at a path: envelopes, and a socket that checks signatures.
struct Ways {
    envelopes: [Channel; 3],
    sockets: [Channel; 3],
}

impl Ways {
    async fn to(shop: &InProcess) -> Self {
        let backend = &shop.backend;
        let rpcs = [&backend.orders.rpc, &backend.products.rpc, &backend.users.rpc];
        let Services { orders, products, users } = Services::open(shop).await;
        Self {
            envelopes: rpcs.map(|rpc| channel(rpc.clone())),
            sockets: [orders, products, users].map(over_http2),
        }
    }

    fn to_method(&self, path: &str) -> [(&'static str, &Channel); 2] {
        let services = ["/oms.orders.", "/oms.products.", "/oms.users."];
        let place = services.iter().position(|service| path.starts_with(service)).unwrap();
        [("envelope", &self.envelopes[place]), ("socket", &self.sockets[place])]
    }
}

fn is_listed(path: &str, name: Option<&str>) -> bool {
    let callers = CALLERS.iter().find(|(method, _)| *method == path).map(|(_, callers)| *callers);
    callers.is_some_and(|callers| name.is_none_or(|name| callers.contains(&name)))
}

#[test]
fn the_table_of_callers_is_the_one_that_is_written_out_here() {
    let declared: BTreeMap<_, _> = proto::methods()
        .map(|path| (path, proto::callers(path).unwrap()))
        .filter(|(_, callers)| !callers.is_empty())
        .collect();
    assert_eq!(declared, BTreeMap::from(CALLERS));
    assert_eq!(proto::callers("/oms.users.v1.UserService/DropTables"), None);
    // The table has all methods that the compiled files have.
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut paths = BTreeSet::new();
    for file in &files.file {
        for service in &file.service {
            let full = |method: &str| format!("/{}.{}/{method}", file.package(), service.name());
            paths.extend(service.method.iter().map(|method| full(method.name())));
        }
    }
    assert_eq!(paths, proto::methods().map(str::to_owned).collect());
}

#[tokio::test]
async fn a_function_calls_the_methods_that_list_it_alone() {
    let shop = InProcess::open().await;
    let ways = Ways::to(&shop).await;
    let mut tried = 0;
    for path in proto::methods() {
        for (way, channel) in ways.to_method(path) {
            for name in NAMES {
                let mut metadata: Metadata = vec![("oms-caller", "system")];
                metadata.extend(name.map(|name| ("oms-caller-function", name)));
                let (code, said) = ask(channel, path, &metadata).await;
                tried += 1;
                let case = format!("{path} by {name:?} in the {way}: {code:?} {said}");
                if is_listed(path, name) {
                    assert!(![Code::PermissionDenied, Code::Unauthenticated].contains(&code), "{case}");
                } else {
                    assert_eq!(code, Code::PermissionDenied, "{case}");
                    assert!(said.contains("send `authorization: Bearer <access token>`"), "{case}");
                }
            }
        }
    }
    assert_eq!(tried, 2 * NAMES.len() * proto::methods().count());
}

#[tokio::test]
async fn metadata_never_makes_a_caller_a_user() {
    let shop = InProcess::open().await;
    let ways = Ways::to(&shop).await;
    let admin = shop.admin().id.clone();
    for path in proto::methods() {
        for (way, channel) in ways.to_method(path) {
            for role in Role::ALL {
                let claim = [("oms-caller", admin.as_str()), ("oms-caller-role", role.name())];
                let (code, said) = ask(channel, path, &claim).await;
                assert_eq!(code, Code::PermissionDenied, "{path} in the {way}: {said}");
                // Nor beside the name of a function.
                let claim = [&claim[..], &[("oms-caller-function", "orders")]].concat();
                let (code, said) = ask(channel, path, &claim).await;
                assert_eq!(code, Code::PermissionDenied, "{path} in the {way}: {said}");
            }
            for garbled in [
                &[("oms-caller", "admin")][..],
                &[("oms-caller", "")],
                &[("oms-caller", "system"), ("oms-caller", "system")],
                &[("oms-caller", "system"), ("oms-caller", &admin)],
                &[("oms-caller", "system"), ("oms-caller-function", "")],
                &[("oms-caller", "system"), ("oms-caller-function", "a"), ("oms-caller-function", "orders")],
            ] {
                let (code, said) = ask(channel, path, garbled).await;
                assert_eq!(code, Code::Unauthenticated, "{path} by {garbled:?} in the {way}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn an_access_token_decides_in_envelopes_as_on_sockets() {
    let shop = InProcess::open().await;
    let ways = Ways::to(&shop).await;
    let admin = format!("Bearer {}", shop.admin().token.unwrap());
    let customer = format!("Bearer {}", shop.customer().await.token.unwrap());
    let cut = &admin[..admin.len() - 4];
    for path in proto::methods() {
        let only_functions =
            path.starts_with("/oms.products") && is_listed(path, None) || path.ends_with("/Reconcile");
        for (way, channel) in ways.to_method(path) {
            for function in [false, true] {
                let with = |token| {
                    let claim = [("oms-caller", "system"), ("oms-caller-function", "orders")];
                    [&claim[..if function { 2 } else { 0 }], &[("authorization", token)]].concat()
                };
                let case = format!("{path} in the {way}, function: {function}");
                let (code, said) = ask(channel, path, &with(&admin)).await;
                // Beside a token a function is the user whose token it is, and no function.
                match code {
                    Code::PermissionDenied => assert!(only_functions, "{case}: {said}"),
                    // The message is empty, and is looked at first.
                    Code::InvalidArgument => {}
                    _ => assert!(!only_functions, "{case}: {code:?} {said}"),
                }
                assert_ne!(code, Code::Unauthenticated, "{case}: {said}");
                for bad in ["", "Bearer", cut, "Basic YTpi", "Bearer system"] {
                    let (code, said) = ask(channel, path, &with(bad)).await;
                    assert_eq!(code, Code::Unauthenticated, "{case}: {bad:.20}: {said}");
                }
            }
            if ["/ListUsers", "/CheckConsistency", "/GetJobs"].iter().any(|it| path.ends_with(it)) {
                let (code, said) = ask(channel, path, &[("authorization", &customer)]).await;
                assert_eq!(code, Code::PermissionDenied, "{path} in the {way}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_function_makes_and_changes_no_user() {
    let shop = InProcess::open().await;
    let (ada, admin) = (shop.customer().await, shop.admin());
    let mut users = to_users(&shop);
    let email = new_email();
    let heir = || CreateUserRequest {
        email: Some(email.clone()),
        password: Some(PASSWORD.to_owned()),
        name: Some("Heir".to_owned()),
        role: Some("admin".to_owned()),
        ..CreateUserRequest::default()
    };
    let promoted =
        || UpdateUserRequest { id: ada.id.clone(), role: Some("admin".to_owned()), ..Default::default() };
    let gone = || DeleteUserRequest { id: ada.id.clone(), expected_version: None };
    let as_admin = Caller::User { id: admin.id.parse().unwrap(), role: Role::Admin };
    let code = |answer: Result<(), Status>| answer.unwrap_err().code();
    assert_eq!(code(users.create_user(by(Caller::System, heir())).await.map(drop)), Code::PermissionDenied);
    assert_eq!(
        code(users.update_user(by(Caller::System, promoted())).await.map(drop)),
        Code::PermissionDenied
    );
    assert_eq!(code(users.delete_user(by(Caller::System, gone())).await.map(drop)), Code::PermissionDenied);
    assert_eq!(code(users.create_user(claiming(as_admin, heir())).await.map(drop)), Code::PermissionDenied);
    assert_eq!(
        code(users.update_user(claiming(as_admin, promoted())).await.map(drop)),
        Code::PermissionDenied
    );
    let listed = admin.get("/users?limit=100").await.expect(200);
    assert!(listed.data().iter().all(|user| user["email"] != email.as_str()));
    let still = admin.get(&format!("/users/{}", ada.id)).await.expect(200);
    assert_eq!((still["role"].as_str(), still["version"].as_i64()), (Some("customer"), Some(1)));
    // The same with the admin's own token is done, in an envelope too.
    let made = users.create_user(by(as_admin, heir())).await.unwrap().into_inner();
    assert_eq!(made.role, "admin");
}

#[tokio::test]
async fn a_function_reads_the_status_of_a_user_and_nothing_else() {
    let shop = InProcess::open().await;
    let (admin, ada) = (shop.admin(), shop.customer().await);
    let mut users = to_users(&shop);
    for (status, id) in [("active", &ada.id), ("active", &admin.id)] {
        let request = by(Caller::System, GetUserRequest { id: id.clone(), email: None });
        let seen = users.get_user(request).await.unwrap().into_inner();
        assert_eq!(seen, User { id: id.clone(), status: status.to_owned(), ..User::default() });
    }
    // By the e-mail address, too, in any case.
    let addressed = |email: &str| GetUserRequest { id: String::new(), email: Some(email.to_owned()) };
    let request = by(Caller::System, addressed(&ada.email.to_uppercase()));
    let seen = users.get_user(request).await.unwrap().into_inner();
    assert_eq!(seen, User { id: ada.id.clone(), status: "active".to_owned(), ..User::default() });
    let customer = caller(&ada, Role::Customer);
    for (caller, email, code) in [
        (Caller::System, "nobody@example.com", Code::NotFound),
        (Caller::System, "ada@", Code::InvalidArgument),
        (customer, ada.email.as_str(), Code::PermissionDenied),
        (customer, "nobody@example.com", Code::PermissionDenied),
        (Caller::Anonymous, "admin@example.com", Code::Unauthenticated),
    ] {
        let refused = users.get_user(by(caller, addressed(email))).await.unwrap_err();
        assert_eq!(refused.code(), code, "{email}");
    }
    let request = by(Caller::System, ListUsersRequest::default());
    assert_eq!(users.list_users(request).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_function_sees_no_orders_and_no_drafts() {
    let shop = InProcess::open().await;
    let (_, order) = shop.order_in("placed").await;
    let mug = shop.product(3).await;
    let code = |answer: Result<(), Status>| answer.unwrap_err().code();
    let mut orders = to_orders(&shop);
    let get = by(Caller::System, GetOrderRequest { id: order });
    assert_eq!(code(orders.get_order(get).await.map(drop)), Code::PermissionDenied);
    let list = by(Caller::System, ListOrdersRequest::default());
    assert_eq!(code(orders.list_orders(list).await.map(drop)), Code::PermissionDenied);
    let place = by(Caller::System, CreateOrderRequest::default());
    assert_eq!(code(orders.create_order(place).await.map(drop)), Code::PermissionDenied);
    let mut products = to_products(&shop);
    let get = by(Caller::System, GetProductRequest { id: mug.clone() });
    assert_eq!(code(products.get_product(get).await.map(drop)), Code::PermissionDenied);
    let more = UpdateStockRequest { id: mug.clone(), delta: Some(5), ..UpdateStockRequest::default() };
    assert_eq!(code(products.update_stock(by(Caller::System, more)).await.map(drop)), Code::PermissionDenied);
    assert_eq!(shop.stock(&mug).await, (3, 0, 3));
}

#[test]
fn a_function_has_no_role_in_any_rule_of_access() {
    assert!(!Caller::System.is_staff() && !Caller::System.is_admin());
    Caller::System.signed_in().unwrap_err();
    for access in [Access::SignedIn, Access::Staff, Access::Admin] {
        access.check(Caller::System).unwrap_err();
    }
}

#[tokio::test]
async fn the_functions_name_themselves_in_their_calls() {
    let shop = InProcess::open().await;
    let seen = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let backend = &shop.backend;
    let tap = |rpc: &shared::rpc::server::RpcServer| {
        Channel::new(Arc::new(Tap { rpc: rpc.clone(), seen: seen.clone() }), Clock::system())
    };
    let (to_users, to_products) = (tap(&backend.users.rpc), tap(&backend.products.rpc));
    let products = products::app(products::Dependencies {
        database: shop.database.clone(),
        users: to_users.clone(),
        clock: Clock::system(),
    });
    let orders = orders::app(orders::Dependencies {
        database: shop.database.clone(),
        products: to_products,
        users: to_users,
        payment_window: orders::DEFAULT_PAYMENT_WINDOW,
        return_window: orders::DEFAULT_RETURN_WINDOW,
        limits: orders::CustomerLimits::NONE,
        clock: Clock::system(),
    });
    let mug = shop.product(5).await;
    let customer = shop.customer().await;
    let as_staff = Caller::User { id: shop.admin().id.parse().unwrap(), role: Role::Admin };
    let for_her =
        CreateOrderRequest { user_id: Some(customer.id.clone()), ..crate::support::grpc::new_order(&mug, 1) };
    let mut client = proto::orders::v1::order_service_client::OrderServiceClient::new(channel(orders.rpc));
    client.create_order(by(as_staff, for_her)).await.unwrap();
    let mut client =
        proto::products::v1::product_service_client::ProductServiceClient::new(channel(products.rpc));
    client.list_products(by(as_staff, Default::default())).await.unwrap();
    let expected = [
        ("orders", "/oms.products.v1.ProductService/HoldStock"),
        ("orders", "/oms.users.v1.UserService/GetSigningKeys"),
        ("orders", "/oms.users.v1.UserService/GetUser"),
        ("products", "/oms.users.v1.UserService/GetSigningKeys"),
    ];
    let expected = expected.map(|(name, path)| (name.to_owned(), path.to_owned()));
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from(expected));
}

/// Function that notes who calls which of its methods.
struct Tap {
    rpc: shared::rpc::server::RpcServer,
    seen: Arc<std::sync::Mutex<BTreeSet<(String, String)>>>,
}

impl shared::rpc::channel::Invoke for Tap {
    fn invoke(&self, payload: Vec<u8>) -> futures::future::BoxFuture<'static, Result<Vec<u8>, Status>> {
        let call: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let headers = call["grpc"]["headers"].as_array().unwrap();
        let of = |name: &str| headers.iter().find(|pair| pair[0] == name).and_then(|pair| pair[1].as_str());
        assert_eq!(of("oms-caller"), Some("system"));
        let name = of("oms-caller-function").unwrap_or_default().to_owned();
        self.seen.lock().unwrap().insert((name, call["grpc"]["path"].as_str().unwrap().to_owned()));
        shared::rpc::channel::Invoke::invoke(&self.rpc, payload)
    }
}
