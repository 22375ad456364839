//! Requests in the words of HTTP, down to the bytes, that no well-behaved client sends.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use shared::http::base_path::BasePath;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::answer::Answer;
use crate::person::Person;
use crate::shop::Shop;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

/// The largest body.
pub const LIMIT: usize = 256 * 1024;

/// The body of a product that is allowed.
pub fn product(sku: &str) -> Value {
    json!({ "sku": sku, "name": "Mug", "price": { "amount": 500, "currency": "EUR" } })
}

/// Sends any bytes as a body of any media type, or of none.
pub async fn send(
    person: &Person,
    method: Method,
    path: &str,
    media_type: &str,
    body: impl AsRef<[u8]>,
) -> Answer {
    let mut request = person.request(method, path).body(body.as_ref().to_vec());
    if !media_type.is_empty() {
        request = request.header(header::CONTENT_TYPE, media_type);
    }
    person.answer(request).await
}

/// Sends a body as it is written: no [`Value`] can say `1e3`, `12.0` or 2^64.
pub async fn send_json(person: &Person, method: Method, path: &str, body: impl AsRef<[u8]>) -> Answer {
    let shown: String = String::from_utf8_lossy(body.as_ref()).chars().take(200).collect();
    let mut answer = send(person, method, path, "application/json", body).await;
    answer.request = format!("{} {shown}", answer.request);
    answer
}

/// The value of the header `Authorization`.
pub fn authorization(person: &Person) -> Vec<u8> {
    format!("Bearer {}", person.token.clone().unwrap_or_default()).into_bytes()
}

/// Sends a request line, headers and a body as they are, and reads until the other side closes.
pub async fn raw(shop: &Shop, line: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Answer {
    let host = shop.base.trim_start_matches("http://").to_owned();
    let mut bytes = format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    // The shop runs on the thread of the test, which therefore must not block.
    let received = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(&bytes)?;
        let mut received = Vec::new();
        stream.read_to_end(&mut received)?;
        std::io::Result::Ok(received)
    });
    let received = received.await.map_err(std::io::Error::other).and_then(|received| received);
    let received = received.unwrap_or_else(|error| panic!("{line}: {error}"));
    match read(line, &received) {
        Some(answer) => answer,
        None => panic!("{line}: not an answer: {}", String::from_utf8_lossy(&received)),
    }
}

/// A chunked body of several pieces.
pub fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let chunk = |piece: &&[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    let chunks: Vec<u8> = pieces.iter().flat_map(chunk).collect();
    [chunks, b"0\r\n\r\n".to_vec()].concat()
}

fn read(request: &str, received: &[u8]) -> Option<Answer> {
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).ok()?;
    let body = &received[end + 4..];
    let mut lines = head.split("\r\n");
    let status = StatusCode::from_bytes(lines.next()?.split(' ').nth(1)?.as_bytes()).ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?);
    }
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? };
    Some(Answer { request: request.to_owned(), status, headers, body, base_path: BasePath::default() })
}
