//! Secrets Manager: moto's, on this machine. It is installed once, into the target folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

const MOTO: &str = "moto[server]==5.2.5";

/// It ends when its standard input does, and so with the test, however that ends.
const SERVE: &str = "
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', sys.argv[1]])
";

/// Maximum time of its start.
const START: Duration = Duration::from_secs(60);

/// Secrets Manager, for one test.
pub(crate) struct SecretsManager {
    server: Child,
    pub(crate) endpoint: String,
    http: reqwest::Client,
}

impl SecretsManager {
    pub(crate) async fn start() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("moto");
        let site = folder.clone();
        tokio::task::spawn_blocking(move || install(&site)).await.unwrap();
        let port = tests::port::free();
        let server = Command::new("python3")
            .args(["-c", SERVE, &port.to_string()])
            .env("PYTHONPATH", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let endpoint = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::new();
        let begun = Instant::now();
        while http.get(format!("{endpoint}/moto-api/")).send().await.is_err() {
            assert!(begun.elapsed() < START, "moto does not listen at {endpoint}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { server, endpoint, http }
    }

    /// A new secret; answers its ARN.
    pub(crate) async fn keeps(&self, value: &str) -> String {
        let name = Uuid::new_v4().to_string();
        let made = self.call("CreateSecret", json!({ "Name": name, "SecretString": value })).await;
        made["ARN"].as_str().unwrap().to_owned()
    }

    /// A new value, which is `AWSCURRENT` from now on; the one before it is `AWSPREVIOUS`.
    pub(crate) async fn rotates(&self, arn: &str, value: &str) {
        self.call("PutSecretValue", json!({ "SecretId": arn, "SecretString": value })).await;
    }

    async fn call(&self, action: &str, body: Value) -> Value {
        let answer = self
            .http
            .post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("secretsmanager.{action}"))
            // moto takes the region from here.
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20261122/eu-central-1/secretsmanager/aws4_request, \
                 SignedHeaders=host, Signature=0",
            )
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{action}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Installs moto, unless it is there. Tests of several processes wait for each other.
fn install(folder: &Path) {
    let parent = folder.parent().unwrap();
    std::fs::create_dir_all(parent).unwrap();
    let lock = std::fs::File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let done = folder.join("installed");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == MOTO) {
        return;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--upgrade", "--target"]);
    let status = pip.arg(folder).arg(MOTO).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "pip could not install {MOTO}");
    std::fs::write(done, MOTO).unwrap();
}
