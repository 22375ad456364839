//! The schema step as a resource of CloudFormation: what it does to a real database, and that there is an answer in
//! every case.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use http::{Method, StatusCode};
use maintenance::custom_resource::{Destinations, Responder, SchemaResource};
use maintenance::schema::{FirstAdmin, Schemas, Step};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use shared::auth::Caller;
use shared::error::Error;
use shared::runtime::aws::ROOTS;
use shared::runtime::config::Variables;
use shared::runtime::context::Context;
use shared::runtime::task::{Event, LogStream};
use shared::values::clock::Clock;
use tests::lambda::{Lambda, Options};
use uuid::Uuid;

use crate::receiver::{ROOT, Receiver};

/// Path of the presigned URL.
const TARGET: &str = "/arn%3Aaws%3Acloudformation%3Aeu-central-1%3A1?AWSAccessKeyId=A&Signature=s3cret%3D";

const ADMIN: [(&str, &str); 2] =
    [("ADMIN_EMAIL", "first@example.com"), ("ADMIN_PASSWORD", "correct horse battery staple")];

/// Time that an event has.
const TIME: Duration = Duration::from_secs(60);

/// A database that is not there yet, and its URI.
async fn new_database() -> (String, Database) {
    let uri = mongod::shared_for_tests().await.unwrap();
    let uri = uri.replacen("/?", &format!("/test_{}?", Uuid::new_v4().simple()), 1);
    let database = shared::mongo::connect(&uri, "tests").await.unwrap();
    (uri, database)
}

/// The task in an environment with these variables, whose answers go to the receiver alone.
fn resource(receiver: &Receiver, variables: &[(&str, &str)]) -> SchemaResource {
    resource_trusting(receiver, ROOT, variables)
}

fn resource_trusting(receiver: &Receiver, root: &[u8], variables: &[(&str, &str)]) -> SchemaResource {
    let set: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let variables = Variables::from_fn(move |name| set.get(name).cloned());
    let step = Step::read(variables, FirstAdmin::Optional, Clock::system());
    let responder = Responder::new(Destinations::Only(receiver.authority()), root).unwrap();
    SchemaResource::new(step, responder, Clock::system())
}

fn event_of(request_type: &str, url: &str) -> Value {
    json!({
        "RequestType": request_type,
        "ServiceToken": "arn:aws:lambda:eu-central-1:123456789012:function:schema",
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/shop/1",
        "RequestId": "the-request",
        "ResourceType": "Custom::SchemaStep",
        "LogicalResourceId": "SchemaStep",
        "PhysicalResourceId": "schema-step",
        "ResourceProperties": { "Version": "7" },
    })
}

/// Hands an event to the task, with this much time left.
async fn handle(resource: &SchemaResource, event: &Value, left: Duration) -> Result<Value, Error> {
    let event = Event {
        payload: to_raw_value(event).unwrap(),
        context: Context::new(Caller::System, Clock::system().now().after(left)),
        log: LogStream { group: "/aws/lambda/schema".to_owned(), stream: "1".to_owned() },
    };
    resource.handle(event).await
}

/// Hands an event to the task, and returns the answer that CloudFormation gets.
async fn answer(resource: &SchemaResource, receiver: &Receiver, request_type: &str, left: Duration) -> Value {
    let event = event_of(request_type, &format!("{}{TARGET}", receiver.url));
    let before = receiver.received().len();
    handle(resource, &event, left).await.unwrap();
    let received = receiver.received();
    assert_eq!(received.len(), before + 1, "{received:#?}");
    received[before].body.clone()
}

fn succeeded() -> Value {
    json!({
        "Status": "SUCCESS",
        "PhysicalResourceId": "schema-step",
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/shop/1",
        "RequestId": "the-request",
        "LogicalResourceId": "SchemaStep",
    })
}

/// The reason of a failed answer, which has all that an answer must have.
fn reason_of(answer: &Value) -> String {
    let reason = answer["Reason"].as_str().unwrap().to_owned();
    let mut expected = succeeded();
    expected["Status"] = json!("FAILED");
    expected["Reason"] = json!(reason);
    assert_eq!(*answer, expected);
    assert!(reason.ends_with("Log: /aws/lambda/schema, 1"), "{reason}");
    reason
}

/// Everything in a database: documents and indexes by collection.
async fn content(database: &Database) -> BTreeMap<String, (Vec<Document>, Vec<String>)> {
    let mut all = BTreeMap::new();
    for name in database.list_collection_names().await.unwrap() {
        let collection = database.collection::<Document>(&name);
        let sorted = collection.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
        let documents = sorted.try_collect().await.unwrap();
        let mut indexes = collection.list_index_names().await.unwrap();
        indexes.sort();
        all.insert(name, (documents, indexes));
    }
    all
}

async fn admins(database: &Database) -> u64 {
    let users = database.collection::<Document>("users");
    users.count_documents(doc! { "role": "admin" }).await.unwrap()
}

#[tokio::test]
async fn a_create_prepares_an_empty_database_and_the_next_update_nothing() {
    let ((uri, database), receiver) = (new_database().await, Receiver::http().await);
    let variables = [&[("MONGO_URI", uri.as_str())][..], &ADMIN].concat();
    let resource = resource(&receiver, &variables);
    assert_eq!(answer(&resource, &receiver, "Create", TIME).await, succeeded());
    let Schemas { users, products, orders } = Schemas::default();
    for schema in [users, products, orders] {
        schema.check(&database).await.unwrap();
    }
    assert_eq!(admins(&database).await, 1);

    let before = content(&database).await;
    assert!(before.len() > 10, "{:?}", before.keys());
    assert_eq!(answer(&resource, &receiver, "Update", TIME).await, succeeded());
    assert_eq!(content(&database).await, before);
}

#[tokio::test]
async fn the_answer_is_a_put_as_the_presigned_url_wants_it() {
    let ((uri, _), receiver) = (new_database().await, Receiver::http().await);
    let resource = resource(&receiver, &[("MONGO_URI", &uri)]);
    answer(&resource, &receiver, "Delete", TIME).await;
    let put = receiver.only();
    assert_eq!((put.method, put.target.as_str()), (Method::PUT, TARGET));
    assert_eq!(put.headers["content-type"], "");
    let length: usize = put.headers["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(length, serde_json::to_vec(&put.body).unwrap().len());
    assert!(!put.headers.contains_key("transfer-encoding"), "{:?}", put.headers);
}

#[tokio::test]
async fn without_an_admin_in_the_environment_none_is_made() {
    let ((uri, database), receiver) = (new_database().await, Receiver::http().await);
    let resource = resource(&receiver, &[("MONGO_URI", &uri), ("ADMIN_PASSWORD_ARN", "")]);
    assert_eq!(answer(&resource, &receiver, "Create", TIME).await, succeeded());
    assert_eq!(admins(&database).await, 0);
    orders::store::SCHEMA.check(&database).await.unwrap();
}

#[tokio::test]
async fn a_delete_touches_nothing() {
    let ((uri, database), receiver) = (new_database().await, Receiver::http().await);
    let prepared = resource(&receiver, &[("MONGO_URI", &uri)]);
    assert_eq!(answer(&prepared, &receiver, "Delete", TIME).await, succeeded());
    assert_eq!(content(&database).await, BTreeMap::new());
    assert_eq!(answer(&prepared, &receiver, "Create", TIME).await, succeeded());
    let before = content(&database).await;
    // A stack whose settings are wrong can be deleted all the same.
    for resource in [prepared, resource(&receiver, &[])] {
        assert_eq!(answer(&resource, &receiver, "Delete", TIME).await, succeeded());
    }
    assert_eq!(content(&database).await, before);
}

#[tokio::test]
async fn a_database_out_of_reach_fails_the_deployment_in_time() {
    let receiver = Receiver::http().await;
    let port = tests::port::free();
    let uri = format!("mongodb://somebody:s3cret-pwd@127.0.0.1:{port}/oms?replicaSet=rs0");
    let resource = resource(&receiver, &[("MONGO_URI", &uri)]);
    let begun = Instant::now();
    let reason = reason_of(&answer(&resource, &receiver, "Create", TIME).await);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(reason.contains("MongoDB"), "{reason}");
    // The driver looks for a server for 5 s, and the event ends before that.
    let reason = reason_of(&answer(&resource, &receiver, "Update", Duration::from_secs(4)).await);
    assert!(reason.starts_with("The schema step was not done in the time of its function."), "{reason}");
    let all = format!("{:?}", receiver.received());
    assert!(!all.contains("s3cret-pwd") && !all.contains("somebody"), "{all}");
}

#[tokio::test]
async fn a_wrong_environment_fails_the_deployment_with_its_problems() {
    let receiver = Receiver::http().await;
    let (uri, _) = new_database().await;
    for (variables, problem) in [
        (vec![], "MONGO_URI, MONGO_URI_FILE or MONGO_URI_ARN is required"),
        (vec![("MONGO_URI", "postgres://s3cret")], "MONGO_URI: must begin with mongodb://"),
        (vec![("MONGO_URI", "mongodb://s3cret:x@/y")], "MONGO_URI is not a valid connection string"),
        (
            vec![("MONGO_URI", &*uri), ADMIN[0]],
            "ADMIN_PASSWORD, ADMIN_PASSWORD_FILE or ADMIN_PASSWORD_ARN is",
        ),
        (vec![("MONGO_URI", &*uri), ADMIN[1]], "ADMIN_EMAIL is required"),
        (vec![("MONGO_URI", &*uri), ("ADMIN_EMAIL", "s3cret"), ADMIN[1]], "ADMIN_EMAIL must"),
    ] {
        let resource = resource(&receiver, &variables);
        let reason = reason_of(&answer(&resource, &receiver, "Create", TIME).await);
        assert!(reason.contains(problem) && !reason.contains("s3cret"), "{reason}");
    }
}

#[tokio::test]
async fn an_event_whose_answer_would_go_elsewhere_does_nothing() {
    let ((uri, database), receiver) = (new_database().await, Receiver::http().await);
    let ours = Receiver::http().await;
    let resource = resource(&ours, &[("MONGO_URI", &uri)]);
    let event = event_of("Create", &format!("{}{TARGET}", receiver.url));
    let error = handle(&resource, &event, TIME).await.unwrap_err();
    assert!(error.causes().contains("nothing was done") && !error.causes().contains("s3cret"), "{error:?}");
    let mut incomplete = event_of("Create", &format!("{}{TARGET}", ours.url));
    incomplete.as_object_mut().unwrap().remove("StackId");
    handle(&resource, &incomplete, TIME).await.unwrap_err();
    assert_eq!(content(&database).await, BTreeMap::new());
    assert!(receiver.received().is_empty() && ours.received().is_empty());
}

#[tokio::test]
async fn an_unknown_type_of_request_fails() {
    let ((uri, database), receiver) = (new_database().await, Receiver::http().await);
    let resource = resource(&receiver, &[("MONGO_URI", &uri)]);
    let reason = reason_of(&answer(&resource, &receiver, "Drop", TIME).await);
    assert!(reason.starts_with("The event has an unknown type of request."), "{reason}");
    assert_eq!(content(&database).await, BTreeMap::new());
}

#[tokio::test]
async fn an_answer_that_is_refused_is_sent_again() {
    let ((uri, _), receiver) = (new_database().await, Receiver::http().await);
    let resource = resource(&receiver, &[("MONGO_URI", &uri)]);
    let event = event_of("Delete", &format!("{}{TARGET}", receiver.url));
    receiver.refuses(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::INTERNAL_SERVER_ERROR]);
    handle(&resource, &event, TIME).await.unwrap();
    assert_eq!(receiver.received().len(), 3);
    // Where nobody learns of the outcome, the invocation fails, and Lambda repeats the event.
    receiver.refuses(&[StatusCode::FORBIDDEN; 3]);
    let error = handle(&resource, &event, TIME).await.unwrap_err();
    assert!(error.causes().contains("CloudFormation did not take the answer"), "{error:?}");
}

#[tokio::test]
async fn an_answer_goes_by_https_to_whom_the_roots_vouch_for() {
    let receiver = Receiver::https().await;
    let trusting = resource(&receiver, &[]);
    assert_eq!(answer(&trusting, &receiver, "Delete", TIME).await, succeeded());
    let event = event_of("Delete", &format!("{}{TARGET}", receiver.url));
    let of_aws = resource_trusting(&receiver, ROOTS, &[]);
    handle(&of_aws, &event, TIME).await.unwrap_err();
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn the_program_does_nothing_for_an_event_that_is_not_of_cloudformation() {
    let ((uri, database), receiver) = (new_database().await, Receiver::http().await);
    let task = tokio::task::spawn_blocking(|| Lambda::task("schema", Duration::from_secs(20))).await.unwrap();
    let lambda = Lambda::start(vec![task.variable("MONGO_URI", &uri)], Options::default()).await.unwrap();
    let event = event_of("Create", &format!("{}{TARGET}", receiver.url));
    let url = format!("{}/2015-03-31/functions/schema/invocations", lambda.endpoint);
    let answer = reqwest::Client::new().post(url).body(event.to_string()).send().await.unwrap();
    assert_eq!(answer.headers()["x-amz-function-error"], "Unhandled");
    let text = answer.text().await.unwrap();
    assert!(text.contains("nothing was done") && !text.contains("s3cret"), "{text}");
    assert!(receiver.received().is_empty());
    assert_eq!(content(&database).await, BTreeMap::new());
}
