//! What the probes say over HTTP.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod scene;

use http::{HeaderMap, Method, Request, StatusCode};
use mainstay_health::http::{DetailsPolicy, Endpoint, HealthService};
use mainstay_health::{Check, CheckError, CheckOutcome, Clock, ErrorClass, HealthManager, Pushed, Status};
use scene::{Run, Script, manager, secs, settle};
use serde_json::{Value, json};
use tower_service::Service;

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    place: *const u8,
}

impl Answer {
    fn kind(&self) -> &str {
        self.headers["content-type"].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn keys(&self) -> Vec<String> {
        self.json().as_object().unwrap().keys().cloned().collect()
    }

    /// Its status and its text.
    fn told(&self) -> (u16, &str) {
        (self.status.as_u16(), &self.body)
    }
}

async fn send<B>(service: &HealthService, request: Request<B>) -> Answer {
    let response = service.clone().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    assert_eq!(parts.headers["cache-control"], "no-store");
    let place = body.as_bytes().as_ptr();
    let body = String::from_utf8(body.as_bytes().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body, place }
}

async fn get(service: &HealthService, uri: &str) -> Answer {
    send(service, Request::get(uri).body(()).unwrap()).await
}

async fn accepting(service: &HealthService, uri: &str, accept: &str) -> Answer {
    send(service, Request::get(uri).header("accept", accept).body(()).unwrap()).await
}

/// A manager that runs, with a check of each scope, all of them critical, and one that is not; and what sets them.
struct Orders {
    health: HealthManager,
    probes: HealthService,
    worker: Pushed,
    disk: Pushed,
    redis: Pushed,
    llm: Pushed,
}

async fn orders() -> Orders {
    let (worker, disk, redis, llm) = (Pushed::new(), Pushed::new(), Pushed::new(), Pushed::new());
    let health = manager()
        .check(Check::internal("worker", &worker).critical().restart_on_failure())
        .check(Check::exclusive("wal disk", &disk).critical())
        .check(Check::shared("redis", &redis).critical())
        .check(Check::shared("llm", &llm))
        .build()
        .unwrap();
    health.start().unwrap();
    for check in [&worker, &disk, &redis, &llm] {
        check.set(Status::Healthy);
    }
    settle().await;
    let probes = HealthService::new(&health);
    Orders { health, probes, worker, disk, redis, llm }
}

#[tokio::test(start_paused = true)]
async fn every_endpoint_of_a_healthy_service_answers_200_in_its_own_form() {
    let Orders { probes, .. } = orders().await;
    for path in ["/livez", "/readyz", "/startupz", "/healthz"] {
        let answer = get(&probes, path).await;
        assert_eq!(answer.told(), (200, "ok"), "{path}");
        assert_eq!(answer.kind(), "text/plain; charset=utf-8");
    }
    for path in ["/health", "/health/ready", "/health/live", "/health/detailed", "/ready", "/readiness"] {
        let answer = get(&probes, path).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (200, "application/json"), "{path}");
    }
    let all: Vec<_> = Endpoint::ALL.iter().map(|endpoint| endpoint.path()).collect();
    assert!(Endpoint::ALL.iter().all(|endpoint| Endpoint::at(endpoint.path()) == Some(*endpoint)));
    assert_eq!(all.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_json_endpoints_have_the_keys_that_their_users_know() {
    let Orders { probes, .. } = orders().await;
    let health = get(&probes, "/health").await;
    assert_eq!(health.keys(), ["degraded", "duration", "live", "message", "ready", "status", "timestamp"]);
    let json = health.json();
    assert_eq!(json["status"], "healthy");
    assert_eq!(
        (&json["ready"], &json["live"], &json["degraded"]),
        (&json!(true), &json!(true), &json!(false))
    );
    assert!(json["duration"].is_number() && json["message"].is_string());
    let at = json["timestamp"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.as_bytes()[10] == b'T', "{at}");

    for path in ["/health/ready", "/ready", "/readiness"] {
        let ready = get(&probes, path).await;
        assert_eq!(ready.keys(), ["ready", "status", "timestamp"]);
        assert_eq!((&ready.json()["status"], &ready.json()["ready"]), (&json!("ready"), &json!(true)));
    }
    let live = get(&probes, "/health/live").await;
    assert_eq!(live.keys(), ["live", "status", "timestamp"]);
    assert_eq!((&live.json()["status"], &live.json()["live"]), (&json!("alive"), &json!(true)));

    for path in ["/health/detailed", "/health/detailed?cached=true"] {
        let detailed = get(&probes, path).await;
        assert_eq!(detailed.keys(), ["components", "overall", "summary", "timestamp"]);
        let json = detailed.json();
        assert_eq!(json["overall"], health.json());
        assert_eq!(json["summary"]["total"], 4);
        assert_eq!(json["summary"]["non_critical"], 1);
        let redis = &json["components"]["redis"];
        assert_eq!((&redis["component"], &redis["critical"]), (&json!("redis"), &json!(true)));
        assert_eq!((&redis["status"], &redis["reason"]), (&json!("healthy"), &json!("passed")));
        assert_eq!(
            (&redis["scope"], &json["components"]["llm"]["critical"]),
            (&json!("shared"), &json!(false))
        );
        assert!(redis["timestamp"].is_string());
    }
}

#[tokio::test(start_paused = true)]
async fn the_latest_run_of_a_check_is_told_in_milliseconds() {
    let script = Script::new(Run::Takes(scene::millis(250)));
    let health = manager().check(Check::shared("slow", script.probe())).build().unwrap();
    health.start().unwrap();
    scene::pass(scene::millis(300)).await;
    let probes = HealthService::new(&health);
    assert_eq!(get(&probes, "/health").await.json()["duration"], 250.0);
    assert_eq!(get(&probes, "/health/detailed").await.json()["components"]["slow"]["duration"], 250.0);
    let standard = accepting(&probes, "/health", "application/health+json").await.json();
    assert_eq!(standard["checks"]["slow"][0]["observedValue"], 250.0);
    assert_eq!(standard["checks"]["slow"][0]["observedUnit"], "ms");
}

#[tokio::test(start_paused = true)]
async fn head_is_answered_with_the_head_of_get() {
    let orders = orders().await;
    orders.disk.set(Status::Unhealthy);
    settle().await;
    for path in ["/readyz", "/livez", "/health", "/health/detailed", "/readyz?verbose", "/nothing"] {
        let get = get(&orders.probes, path).await;
        let head = send(&orders.probes, Request::head(path).body("a body of its own").unwrap()).await;
        assert_eq!((head.status, head.kind(), head.body.as_str()), (get.status, get.kind(), ""), "{path}");
        assert_eq!(head.headers["content-length"], get.body.len().to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn other_methods_are_refused_and_other_paths_are_not_found() {
    let Orders { probes, .. } = orders().await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
        for path in ["/readyz", "/health"] {
            let answer = send(&probes, Request::builder().method(&method).uri(path).body(()).unwrap()).await;
            assert_eq!(
                (answer.status.as_u16(), answer.headers["allow"].to_str().unwrap()),
                (405, "GET, HEAD")
            );
        }
    }
    for path in ["/", "/readyz/", "/readyz/redis", "/READYZ", "/health/", "/metrics", "/%72eadyz", "*"] {
        assert_eq!(get(&probes, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_chosen_endpoints_are_served() {
    let Orders { probes, .. } = orders().await;
    let probes = probes.only([Endpoint::Readyz, Endpoint::Livez]);
    assert!(probes.serves(Endpoint::Readyz) && !probes.serves(Endpoint::HealthDetailed));
    for (path, status) in [("/readyz", 200), ("/livez", 200), ("/health/detailed", 404), ("/healthz", 404)] {
        assert_eq!(get(&probes, path).await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_probe_says_in_one_line_why_it_fails() {
    let orders = orders().await;
    let probes = &orders.probes;
    orders.worker.set(Status::Unhealthy);
    orders.disk.set(Status::Unhealthy);
    settle().await;
    assert_eq!(get(probes, "/livez").await.told(), (503, "not live: check worker"));
    assert_eq!(get(probes, "/readyz").await.told(), (503, "not ready: check worker, check wal disk"));
    assert_eq!(get(probes, "/startupz").await.told(), (200, "ok"));
    assert_eq!(get(probes, "/healthz").await.told(), (503, "unhealthy: check worker, check wal disk"));
    assert_eq!(get(probes, "/health/live").await.json()["status"], "not alive");
    let ready = get(probes, "/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["status"]), (503, &json!("not ready")));
}

#[tokio::test(start_paused = true)]
async fn a_shared_dependency_that_is_down_leaves_the_service_ready_and_makes_the_whole_unhealthy() {
    let orders = orders().await;
    orders.redis.set(Status::Unhealthy);
    settle().await;
    assert_eq!(get(&orders.probes, "/readyz").await.told(), (200, "ok"));
    assert_eq!(get(&orders.probes, "/health").await.status.as_u16(), 503);
    assert_eq!(get(&orders.probes, "/health/detailed").await.status.as_u16(), 503);
    assert_eq!(get(&orders.probes, "/healthz").await.told(), (503, "unhealthy: check redis"));
    assert_eq!(
        accepting(&orders.probes, "/readyz", "application/health+json").await.json()["status"],
        "warn"
    );
}

#[tokio::test(start_paused = true)]
async fn degraded_is_200_and_says_what_is() {
    let orders = orders().await;
    orders.llm.set(Status::Unhealthy);
    settle().await;
    assert_eq!(get(&orders.probes, "/healthz").await.told(), (200, "degraded: check llm"));
    let health = get(&orders.probes, "/health").await;
    assert_eq!((health.status.as_u16(), &health.json()["degraded"]), (200, &json!(true)));
    assert_eq!(health.json()["message"], "degraded: check llm");
    assert_eq!(get(&orders.probes, "/readyz").await.told(), (200, "ok"));
}

#[tokio::test(start_paused = true)]
async fn what_the_manager_does_fails_readiness_and_nothing_else() {
    let worker = Pushed::new();
    let health = manager()
        .check(Check::internal("worker", &worker).critical())
        .startup_latch("migrations")
        .build()
        .unwrap();
    let probes = &HealthService::new(&health);
    let created = (503, "not ready: created, latch migrations, check worker");
    assert_eq!(get(probes, "/readyz").await.told(), created);
    assert_eq!(get(probes, "/livez").await.told(), (200, "ok"));
    health.start().unwrap();
    settle().await;
    assert_eq!(get(probes, "/startupz").await.told(), (503, "not started: latch migrations, check worker"));
    worker.set(Status::Healthy);
    settle().await;
    assert_eq!(get(probes, "/readyz").await.told(), (503, "not ready: latch migrations"));
    health.startup_latch("migrations").unwrap().open();
    assert_eq!(get(probes, "/startupz").await.told(), (200, "ok"));
    assert_eq!(get(probes, "/readyz").await.told(), (200, "ok"));

    health.begin_maintenance("the disk of 10.1.2.3 is changed");
    assert_eq!(get(probes, "/readyz").await.told(), (503, "not ready: maintenance"));
    assert_eq!(get(probes, "/health").await.status.as_u16(), 200);
    assert_eq!(get(probes, "/livez").await.told(), (200, "ok"));
    health.end_maintenance();

    let drain = tokio::spawn({
        let health = health.clone();
        async move { health.drain().await }
    });
    settle().await;
    assert_eq!(get(probes, "/readyz").await.told(), (503, "not ready: draining"));
    assert_eq!(get(probes, "/health/ready").await.json()["ready"], false);
    assert_eq!(get(probes, "/healthz").await.told(), (200, "ok"));
    assert_eq!(get(probes, "/livez").await.told(), (200, "ok"));
    let standard = accepting(probes, "/readyz", "application/health+json").await.json();
    assert_eq!((&standard["status"], &standard["output"]), (&json!("fail"), &json!("not ready: draining")));
    drain.await.unwrap();
    health.stop();
    assert_eq!(get(probes, "/readyz").await.told(), (503, "not ready: stopped"));
    scene::pass(secs(60)).await;
    assert_eq!(get(probes, "/healthz").await.told(), (503, "unhealthy: stopped, check worker"));
    assert_eq!(get(probes, "/livez").await.told(), (200, "ok"));
}

#[tokio::test]
async fn a_manager_whose_runtime_stands_still_does_not_look_healthy() {
    let (clock, time) = Clock::manual();
    let disk = Pushed::new();
    let health = HealthManager::builder("orders")
        .clock(clock)
        .check(Check::exclusive("disk", &disk).critical())
        .build()
        .unwrap();
    disk.set(Status::Healthy);
    let mut changes = health.subscribe();
    health.start().unwrap();
    while !health.is_ready() {
        changes.changed().await;
    }
    let probes = &HealthService::new(&health);
    assert_eq!(get(probes, "/readyz").await.told(), (200, "ok"));
    assert_eq!(get(probes, "/health/ready").await.json()["ready"], true);
    // Nothing of the manager's runs meanwhile: this test does not give its thread away.
    time.advance(secs(600));
    assert!(!health.is_ready());
    let (status, body) = (get(probes, "/readyz").await.status, get(probes, "/readyz").await.body);
    assert_eq!(status.as_u16(), 503);
    assert!(body.starts_with("not ready: stuck"), "{body}");
    for path in ["/health", "/healthz", "/health/detailed", "/ready"] {
        let answer = get(probes, path).await;
        assert_eq!(answer.status.as_u16(), 503, "{path}: {}", answer.body);
    }
    let health = get(probes, "/health").await.json();
    assert_eq!((&health["status"], &health["ready"]), (&json!("unhealthy"), &json!(false)));
    let standard = accepting(probes, "/readyz", "application/health+json").await.json();
    assert_eq!(standard["status"], "fail");
}

#[tokio::test(start_paused = true)]
async fn verbose_lists_every_check_in_the_manner_of_kubernetes() {
    let orders = orders().await;
    orders.disk.set(CheckOutcome::unhealthy("full of secrets"));
    orders.llm.set(CheckOutcome::degraded("slow").error(CheckError::new(ErrorClass::Overloaded, "secret")));
    orders.health.disable("redis").unwrap();
    orders.health.begin_maintenance("why");
    settle().await;
    let answer = get(&orders.probes, "/readyz?verbose").await;
    let lines = "[-]maintenance\n\
        [+]worker healthy: passed\n\
        [-]wal disk unhealthy: reported\n\
        [+]redis unknown: disabled\n\
        [+]llm degraded: reported, overloaded\n\
        readyz check failed\n";
    assert_eq!(answer.told(), (503, lines));
    let live = get(&orders.probes, "/livez?verbose=false").await;
    assert_eq!(live.status.as_u16(), 200);
    assert!(live.body.contains("[+]wal disk unhealthy: reported\n"), "{}", live.body);
    assert!(live.body.ends_with("livez check passed\n"), "{}", live.body);
}

#[tokio::test(start_paused = true)]
async fn excluded_checks_are_as_if_they_did_not_exist() {
    let orders = orders().await;
    let probes = &orders.probes;
    orders.worker.set(Status::Unhealthy);
    orders.disk.set(Status::Unhealthy);
    settle().await;
    assert_eq!(get(probes, "/livez?exclude=worker").await.told(), (200, "ok"));
    assert_eq!(get(probes, "/readyz?exclude=worker").await.told(), (503, "not ready: check wal disk"));
    for both in ["exclude=worker&exclude=wal%20disk", "exclude=wal+disk&x=y&exclude=%77orker"] {
        assert_eq!(get(probes, &format!("/readyz?{both}")).await.told(), (200, "ok"), "{both}");
    }
    assert_eq!(get(probes, "/healthz?exclude=worker").await.told(), (503, "unhealthy: check wal disk"));
    assert_eq!(get(probes, "/healthz?exclude=worker&exclude=wal+disk").await.told(), (200, "ok"));
    let verbose =
        get(probes, "/readyz?verbose&exclude=worker&exclude=worke&exclude=%0d%22&exclude=wal+disk").await;
    let lines = "[+]worker excluded: ok\n\
        [+]wal disk excluded: ok\n\
        [+]redis healthy: passed\n\
        [+]llm healthy: passed\n\
        warn: some health checks cannot be excluded: no matches for \"\\r\\\"\",\"worke\"\n\
        readyz check passed\n";
    assert_eq!(verbose.told(), (200, lines));
    // Nothing but checks can be excluded.
    orders.health.begin_maintenance("why");
    let both = "/readyz?exclude=worker&exclude=wal+disk&exclude=maintenance";
    assert_eq!(get(probes, both).await.told(), (503, "not ready: maintenance"));
    // Others' questions are not touched by it.
    assert_eq!(get(probes, "/livez").await.told(), (503, "not live: check worker"));
}

#[tokio::test(start_paused = true)]
async fn broken_queries_are_no_reason_to_fail() {
    let Orders { probes, .. } = orders().await;
    for query in
        ["", "&&&", "=", "exclude", "exclude=%", "exclude=%ff%zz", "verbose=%00", "a=b;c=d", "?exclude=?"]
    {
        assert_eq!(get(&probes, &format!("/readyz?{query}")).await.status.as_u16(), 200, "{query}");
    }
    let long = format!("/readyz?{}", "exclude=nobody&".repeat(4_000));
    assert_eq!(get(&probes, &long).await.told(), (200, "ok"));
}

#[tokio::test(start_paused = true)]
async fn health_json_is_given_to_those_who_name_it() {
    let Orders { probes, .. } = orders().await;
    let standard = "application/health+json";
    for accept in [
        "application/health+json",
        "Application/Health+JSON;q=0.1",
        "text/html, application/health+json ; charset=\"a,b\" ; q=1.0",
        "*/*;q=0.1,\tapplication/health+json",
    ] {
        for endpoint in Endpoint::ALL {
            let answer = accepting(&probes, endpoint.path(), accept).await;
            assert_eq!((answer.status.as_u16(), answer.kind()), (200, standard), "{accept}: {endpoint:?}");
            assert_eq!(answer.json()["status"], "pass");
        }
    }
    for accept in [
        "*/*",
        "application/*",
        "application/json",
        "application/health+json;q=0",
        "application/health+json; Q=0.000",
        "application/health+json;q=-1",
        "application/health+json;q=NaN",
        "application/health+jsonp",
        "text/plain;x=\"\\\",application/health+json\"",
        "",
    ] {
        assert_eq!(accepting(&probes, "/readyz", accept).await.told(), (200, "ok"), "{accept}");
    }
    let two =
        Request::get("/livez").header("accept", "text/plain").header("accept", standard).body(()).unwrap();
    assert_eq!(send(&probes, two).await.kind(), standard);
}

#[tokio::test(start_paused = true)]
async fn health_json_is_of_the_probe_that_was_asked() {
    let orders = orders().await;
    orders.disk.set(CheckOutcome::unhealthy("full"));
    orders.llm.set(Status::Degraded);
    settle().await;
    let standard = "application/health+json";
    let ready = accepting(&orders.probes, "/readyz", standard).await;
    assert_eq!(ready.status.as_u16(), 503);
    let json = ready.json();
    assert_eq!((&json["status"], &json["serviceId"]), (&json!("fail"), &json!("orders")));
    assert_eq!(json["output"], "not ready: check wal disk");
    assert_eq!(json["checks"]["wal disk"][0]["status"], "fail");
    assert_eq!(json["checks"]["llm"][0]["status"], "warn");
    assert_eq!(json["checks"]["redis"][0]["status"], "pass");
    assert!(json["checks"]["redis"][0]["time"].is_string());
    assert!(json.get("version").is_none() && json["checks"]["wal disk"][0].get("output").is_none());

    let live = accepting(&orders.probes, "/livez", standard).await;
    assert_eq!((live.status.as_u16(), &live.json()["status"]), (200, &json!("pass")));
    let without = accepting(&orders.probes, "/readyz?exclude=wal%20disk", standard).await;
    assert_eq!((without.status.as_u16(), &without.json()["status"]), (200, &json!("warn")));
    assert!(without.json()["checks"].get("wal disk").is_none());
}

const SECRET: &str = "hunter2";

async fn with_a_secret() -> (HealthManager, HealthService) {
    let db = || async {
        let error = format!("no way to postgres://admin:{SECRET}@10.1.2.3/orders");
        Err::<(), _>(CheckError::new(ErrorClass::ConnectionRefused, error))
    };
    let classify = |_: &(dyn std::error::Error + 'static)| ErrorClass::ConnectionRefused;
    let queue = || async { Err::<(), String>(format!("amqp://{SECRET}@10.1.2.4")) };
    let cache = || async { CheckOutcome::degraded(format!("says {SECRET}")).detail("dsn", SECRET) };
    let health = manager()
        .check(Check::exclusive("db", db).critical())
        .check(Check::exclusive("queue", queue).critical().classify(classify))
        .check(Check::shared("cache", cache))
        .build()
        .unwrap();
    health.start().unwrap();
    settle().await;
    health.begin_maintenance(SECRET);
    let probes = HealthService::new(&health);
    (health, probes)
}

/// Everything that can be asked for.
async fn everything(probes: &HealthService) -> String {
    let mut all = String::new();
    for endpoint in Endpoint::ALL {
        for query in ["", "?verbose", "?exclude=db", "?verbose&exclude=db", "?cached=true"] {
            for accept in ["*/*", "application/health+json"] {
                let answer = accepting(probes, &format!("{}{query}", endpoint.path()), accept).await;
                all += &format!("{:?}{}", answer.headers, answer.body);
            }
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn by_default_no_text_from_outside_leaves_and_the_class_of_an_error_does() {
    let (_health, probes) = with_a_secret().await;
    let all = everything(&probes).await;
    assert!(!all.contains(SECRET) && !all.contains("10.1.2.3") && !all.contains("admin"), "{all}");
    let components = &get(&probes, "/health/detailed").await.json()["components"];
    assert_eq!(components["db"]["error_class"], "connection_refused");
    assert_eq!(components["queue"]["error_class"], "connection_refused");
    assert!(components["queue"].get("error").is_none() && components["cache"].get("details").is_none());
    let never = probes.details(DetailsPolicy::Never);
    assert!(!everything(&never).await.contains(SECRET));
}

#[tokio::test(start_paused = true)]
async fn details_are_shown_where_the_policy_allows_it() {
    let (_health, probes) = with_a_secret().await;
    let open = probes.clone().details(DetailsPolicy::Always);
    let components = &get(&open, "/health/detailed").await.json()["components"];
    assert_eq!(components["queue"]["error"], format!("amqp://{SECRET}@10.1.2.4"));
    assert_eq!(components["db"]["error"], format!("no way to postgres://admin:{SECRET}@10.1.2.3/orders"));
    assert_eq!(components["cache"]["message"], format!("says {SECRET}"));
    assert_eq!(components["cache"]["details"]["dsn"], SECRET);
    let standard = accepting(&open, "/readyz", "application/health+json").await.json();
    assert_eq!(standard["checks"]["queue"][0]["output"], format!("amqp://{SECRET}@10.1.2.4"));
    assert_eq!(standard["checks"]["cache"][0]["output"], format!("says {SECRET}"));
    // What anybody gets is for anybody, whoever asked before.
    assert!(!everything(&probes).await.contains(SECRET));
}

#[tokio::test(start_paused = true)]
async fn a_policy_may_look_at_the_request_and_its_panic_is_a_no() {
    #[derive(Clone)]
    struct Operator;

    let (_health, probes) = with_a_secret().await;
    let some =
        probes.clone().details(DetailsPolicy::when(|request| request.extensions.get::<Operator>().is_some()));
    assert!(!everything(&some).await.contains(SECRET));
    let request = Request::get("/health/detailed").extension(Operator).body(()).unwrap();
    assert!(send(&some, request).await.body.contains(SECRET));
    assert!(!get(&some, "/health/detailed").await.body.contains(SECRET));

    let panics = probes.details(DetailsPolicy::when(|_| unreachable!("the closure has a bug")));
    let answer = get(&panics, "/health/detailed").await;
    assert!(answer.status.as_u16() == 503 && !answer.body.contains(SECRET));
}

#[tokio::test(start_paused = true)]
async fn each_page_is_made_once_for_each_report() {
    let orders = orders().await;
    let pages = ["/health", "/health/detailed", "/readyz?verbose", "/ready", "/healthz"];
    for path in pages {
        let (first, second) = (get(&orders.probes, path).await, get(&orders.probes.clone(), path).await);
        assert_eq!(first.place, second.place, "{path}");
    }
    let before = get(&orders.probes, "/health/detailed").await.body;
    orders.llm.set(Status::Unhealthy);
    settle().await;
    assert_ne!(get(&orders.probes, "/health/detailed").await.body, before);
}

#[tokio::test(start_paused = true)]
async fn a_long_list_of_obstacles_is_cut_short() {
    let down = Pushed::new();
    down.set(Status::Unhealthy);
    let checks = (0..100).map(|n| Check::exclusive(format!("shard-{n}"), &down).critical());
    let health = checks.fold(manager(), |builder, check| builder.check(check)).build().unwrap();
    health.start().unwrap();
    settle().await;
    let line = get(&HealthService::new(&health), "/readyz").await.body;
    assert!(line.starts_with("not ready: check shard-0, check shard-1, "), "{line}");
    assert!(line.ends_with(", check shard-15, 84 more"), "{line}");
}
