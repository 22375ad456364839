//! A line between two functions that a test can cut.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use orders::CustomerLimits;
use serde_json::Value;
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::server::RpcServer;
use shared::values::clock::Clock;
use tests::in_process::InProcess;
use tests::person::Person;
use tokio::net::TcpListener;
use tonic::{Code, Status};

/// Treatment of the calls to the products function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Line {
    /// They arrive, and are answered.
    Works,
    /// They never arrive.
    Away(Code),
    /// They arrive and are done, and the answer is lost.
    AnswerLost,
    /// That happens to the next call alone.
    NextAnswerLost,
    /// So many calls of a method arrive, and later ones of it never do.
    Answers(&'static str, usize),
}

/// The products function at the end of a line that a test can cut.
pub(crate) struct Cut {
    products: RpcServer,
    line: Mutex<Line>,
    /// The methods that were called and have arrived.
    arrived: Mutex<Vec<String>>,
}

impl Invoke for Cut {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let line = *self.line.lock().unwrap();
        if let Line::NextAnswerLost = line {
            *self.line.lock().unwrap() = Line::Works;
        }
        if let Line::Away(code) = line {
            return Box::pin(async move { Err(Status::new(code, "10.0.0.7 refused the connection")) });
        }
        let call: Value = serde_json::from_slice(&payload).unwrap();
        let path = call["grpc"]["path"].as_str().unwrap();
        let method = path.rsplit('/').next().unwrap();
        if let Line::Answers(of, times) = line
            && method == of
            && self.arrived.lock().unwrap().iter().filter(|arrived| *arrived == of).count() >= times
        {
            return Box::pin(async { Err(Status::unavailable("10.0.0.7 refused the connection")) });
        }
        self.arrived.lock().unwrap().push(method.to_owned());
        let answer = self.products.invoke(payload);
        Box::pin(async move {
            let answer = answer.await?;
            match line {
                Line::AnswerLost | Line::NextAnswerLost => {
                    Err(Status::unavailable("the connection broke off"))
                }
                Line::Works | Line::Away(_) | Line::Answers(..) => Ok(answer),
            }
        })
    }
}

/// An orders function of its own over the shop's database, and its line to the products function.
pub(crate) struct Branch {
    cut: Arc<Cut>,
    base: String,
    http: reqwest::Client,
    /// The calls that it answers.
    pub(crate) rpc: RpcServer,
}

impl Branch {
    pub(crate) async fn of(shop: &InProcess) -> Self {
        Self::with_clock(shop, Clock::system()).await
    }

    pub(crate) async fn with_clock(shop: &InProcess, clock: Clock) -> Self {
        Self::with_limits(shop, CustomerLimits::NONE, clock).await
    }

    /// The same, which limits what one customer may do.
    pub(crate) async fn with_limits(shop: &InProcess, limits: CustomerLimits, clock: Clock) -> Self {
        let cut = Arc::new(Cut {
            products: shop.backend.products.rpc.clone(),
            line: Mutex::new(Line::Works),
            arrived: Mutex::new(Vec::new()),
        });
        let app = orders::app(orders::Dependencies {
            database: shop.database.clone(),
            products: Channel::new(cut.clone(), clock.clone()),
            users: Channel::new(Arc::new(shop.backend.users.rpc.clone()), clock.clone()),
            payment_window: orders::DEFAULT_PAYMENT_WINDOW,
            return_window: orders::DEFAULT_RETURN_WINDOW,
            limits,
            clock,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(std::future::IntoFuture::into_future(axum::serve(listener, app.router)));
        Self { cut, base, http: reqwest::Client::new(), rpc: app.rpc }
    }

    pub(crate) fn line(&self, line: Line) {
        *self.cut.line.lock().unwrap() = line;
        self.cut.arrived.lock().unwrap().clear();
    }

    /// The methods that have arrived since the line last changed.
    pub(crate) fn arrived(&self) -> Vec<String> {
        self.cut.arrived.lock().unwrap().clone()
    }

    /// Not by way of [`Person::answer`], which takes a 5xx for a bug: here it is what is tested.
    pub(crate) async fn send(
        &self,
        person: &Person,
        method: Method,
        path: &str,
        body: Value,
    ) -> (u16, HeaderMap, Value) {
        let answer = self.request(person, method, path).json(&body).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, answer.json().await.unwrap())
    }

    /// A request of which a test wants to say more.
    pub(crate) fn request(&self, person: &Person, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.bearer_auth(person.token.as_deref().unwrap_or_default())
    }

    /// A change that must be answered with 200 and this status.
    pub(crate) async fn moves(&self, staff: &Person, order: &str, status: &str, body: Value) {
        let (code, _, answer) = self.send(staff, Method::PUT, &format!("/orders/{order}"), body).await;
        assert_eq!((code, answer["status"].as_str()), (200, Some(status)), "{answer:#}");
    }
}
