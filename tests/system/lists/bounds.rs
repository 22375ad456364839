//! Bounds on the work that readers of lists cause at once.

use std::time::Duration;

use futures::future::join_all;
use http::{Method, StatusCode};
use shared::values::clock::Clock;
use tests::in_process::InProcess;
use tests::mongo_tap::Tap;

/// Lists of one reader that are read at once.
const AT_ONCE: usize = 3;

#[tokio::test]
async fn lists_of_one_reader_leave_connections_to_all_others() {
    let server = mongod::shared_for_tests().await.unwrap();
    let port = server.split([':', '/']).find_map(|part| part.parse().ok()).unwrap();
    let tap = Tap::to(port).await;
    let shop = InProcess::open_at(&tap.uri("bounds"), Clock::system()).await;
    let (customer, other) = (shop.customer().await, shop.staff().await);
    for path in ["/orders", "/products", "/users"] {
        let reader = if path == "/users" { shop.admin() } else { customer.clone() };
        reader.get(path).await.expect(200);
        tap.heard();
        // MongoDB answers none before one more has come than may.
        tap.gathers("find", AT_ONCE + 1);
        let mut waiting = Vec::new();
        for _ in 0..AT_ONCE {
            let reader = reader.clone();
            waiting.push(tokio::spawn(async move { reader.get(path).await }));
        }
        let mut reads = 0;
        while reads < AT_ONCE {
            reads += tap.heard().len();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for refused in join_all((0..4).map(|_| reader.outcome(reader.request(Method::GET, path)))).await {
            assert_eq!(refused.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!((reads, tap.heard().len()), (AT_ONCE, 0), "{path}");
        // Another reader makes up the number, and is read itself.
        other.get(path).await.expect(200);
        for list in waiting {
            list.await.unwrap().expect(200);
        }
        tap.gathers("none", 1);
    }
}
