//! EventSource in a browser, on a page that comes from elsewhere.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::response::Html;
use axum::routing::{get, post};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use mainstay_testkit::{Fault, FaultProxy};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::stack::{Apart, Stores, Up, ask, faults};
use crate::support::{Program, token, until};
use crate::tools;

const PAGE: &str = include_str!("../clients/events.html");

/// Where the page's events come from, as soon as there is a page.
type Source = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// The server of the page, and the longest report that has come.
fn serve_page(listener: TcpListener, source: Source) -> Arc<Mutex<Value>> {
    let longest = Arc::new(Mutex::new(json!({ "told": [], "cuts": 0, "closed": false })));
    let reports = longest.clone();
    let size = |report: &Value| (report["told"].as_array().unwrap().len(), report["cuts"].as_u64());
    let take = post(async move |body: String| {
        let report: Value = serde_json::from_str(&body).unwrap();
        let mut longest = reports.lock().unwrap();
        // Reports overtake each other.
        if size(&report) >= size(&longest) {
            *longest = report;
        }
    });
    let page = get(async move || Html(PAGE.replace("SOURCE", &source().await)));
    let router = Router::new().route("/", page).route("/report", take);
    tokio::spawn(async move { axum::serve(listener, router).await });
    longest
}

fn open(page: SocketAddr, profile: &std::path::Path) -> Program {
    let mut command = Command::new(tools::chromium());
    command
        // Root has no sandbox.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("http://{page}/"));
    Program::start(command, [])
}

/// The id of a task that was handed in.
async fn submit(gateway: SocketAddr, task: &Value) -> String {
    let accepted = ask(Method::POST, gateway, "/api/v1/tasks").json(task).send().await.unwrap();
    let task: Value = accepted.json().await.unwrap();
    task["id"].as_str().unwrap().to_owned()
}

/// The number of an event within its task: `RUN.SEQUENCE`.
fn sequence(id: &Value) -> u64 {
    let (run, sequence) = id.as_str().unwrap().split_once('.').expect("RUN.SEQUENCE");
    assert_eq!(run, "1");
    sequence.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_every_event_once_though_the_connection_is_cut_on_embedded_stores() {
    every_event_once(Stores::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_every_event_once_though_the_connection_is_cut_on_a_redis_and_a_postgresql() {
    every_event_once(Stores::Servers).await;
}

async fn every_event_once(stores: Stores) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let page = listener.local_addr().unwrap();
    let origin = format!("http://{page}");
    let mut stack = Apart::start_on(stores, 1, 1, &[("CORS_ORIGINS", &origin)]).await;
    let gateway = stack.gateways[0].address;
    faults(stack.model.admin, &json!({ "pace": "500ms" })).await;

    let proxy = FaultProxy::start(gateway).unwrap();
    let stands_at = proxy.addr();
    // A browser takes long to start on a busy machine. The task begins when it is there.
    let source = move || async move {
        let task = json!({ "input": "Describe the tides, the moon and the sea", "mode": "complex" });
        let id = submit(gateway, &task).await;
        format!("http://{stands_at}/api/v1/tasks/{id}/stream?access_token={}", token("ann", "max"))
    };
    let report = serve_page(listener, Arc::new(move || source().boxed()));
    let profile = tempfile::tempdir().unwrap();
    let browser = open(page, profile.path());
    let look = |holds: fn(&Value) -> bool| {
        let report = report.clone();
        move || {
            let holds = holds(&report.lock().unwrap());
            async move { holds }
        }
    };

    until("the page has some events", look(|report| report["told"].as_array().unwrap().len() > 3)).await;
    proxy.set(Fault::CutAfter { bytes: 100 });
    until("the page has noticed the cut", look(|report| report["cuts"].as_u64() > Some(0))).await;
    proxy.set(Fault::None);
    // It comes back once more after the last event, and is told that there is nothing more.
    until("the gateway has closed it", look(|report| report["closed"] == true)).await;

    let report = report.lock().unwrap().clone();
    let told = report["told"].as_array().unwrap();
    let sequences: Vec<u64> = told.iter().map(|event| sequence(&event["id"])).collect();
    let expected: Vec<u64> = (1..=told.len() as u64).collect();
    assert_eq!(sequences, expected, "every event once, in order: {report}");
    let last = told.last().unwrap();
    assert_eq!((&last["name"], &last["data"]["status"]), (&json!("ended"), &json!("succeeded")));
    let text: String = told
        .iter()
        .filter_map(|event| event["data"]["text"].as_str().filter(|_| event["name"] == "text"))
        .collect();
    assert_eq!(last["data"]["answer"], text);
    assert!(proxy.accepted() >= 2, "it has connected again");
    drop(browser);
    stack.gateways[0].program.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_from_elsewhere_gets_nothing_unless_it_is_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let page = listener.local_addr().unwrap();
    let mut stack = Up::start(Stores::Embedded, &[]);
    let id = submit(stack.gateway, &json!({ "input": "Describe the tides" })).await;
    let source =
        format!("http://{}/api/v1/tasks/{id}/stream?access_token={}", stack.gateway, token("ann", "max"));
    let report = serve_page(listener, Arc::new(move || ready(source.clone()).boxed()));
    let profile = tempfile::tempdir().unwrap();
    let browser = open(page, profile.path());
    until("the browser has given up", || {
        let closed = report.lock().unwrap()["closed"] == true;
        async move { closed }
    })
    .await;
    assert_eq!(report.lock().unwrap()["told"], json!([]));
    drop(browser);
    stack.program.end();
}
