//! Clients behind a trusted proxy, and answers while a service leaves.

use super::*;

/// A router that answers with the address of the client, and one that waits.
fn addresses() -> Router {
    let address = async |Extension(SourceAddress(address)): Extension<SourceAddress>| address.to_string();
    let waits = async || std::future::pending::<()>().await;
    Router::new().route("/", get(address)).route("/waits", get(waits))
}

fn behind(proxy: &str, limits: Limits) -> Bench {
    let (stop, stopped) = watch::channel(false);
    let (alive, ended) = mpsc::channel(1);
    let proxies = TrustedProxies::parse(proxy).unwrap();
    let settings = Settings { limits, proxies, ..Settings::default() };
    Bench { server: Server::new(addresses(), settings, true, stopped, alive), stop, ended }
}

fn request(path: &str, client: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: 9.9.9.9, {client}\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn a_request_has_the_address_that_a_trusted_proxy_names() {
    let bench = behind("10.0.0.2", Limits::DEFAULT);
    for (peer, expected) in [("10.0.0.2", "1.1.1.1"), ("10.0.0.3", "10.0.0.3")] {
        let mut client = bench.connect_from(peer, 64 * 1024);
        client.send(request("/", "1.1.1.1")).await;
        let (_, body) = client.answer().await;
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_proxy_have_limits_of_their_own() {
    let limits = Limits { connections_per_address: 2, ..Limits::DEFAULT };
    let bench = behind("10.0.0.2", limits);
    let mut waiting = Vec::new();
    // A client may claim to be this machine, which has no limit.
    for from in ["1.1.1.1", "127.0.0.1"] {
        for _ in 0..2 {
            let mut client = bench.connect_from("10.0.0.2", 64 * 1024);
            client.send(request("/waits", from)).await;
            waiting.push(client);
        }
    }
    tokio::time::sleep(SECOND).await;
    for (from, expected) in [("1.1.1.1", 503), ("127.0.0.1", 503), ("2.2.2.2", 200)] {
        let mut client = bench.connect_from("10.0.0.2", 64 * 1024);
        client.send(request("/", from)).await;
        assert_eq!(client.status().await.0, expected, "{from}");
    }
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_leaves_says_so_in_its_answers() {
    let bench = behind("10.0.0.2", Limits::DEFAULT);
    let mut client = bench.connect();
    client.send(GET).await;
    assert_eq!(client.status().await, (200, true));
    bench.server.is_leaving.store(true, Ordering::Relaxed);
    client.send(GET).await;
    assert_eq!(client.status().await, (200, false));
}
