//! What the probes say over HTTP.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use crate::asking::{Orders, accepting, get, orders, send};
use crate::scene::{Run, Script, manager, secs, settle};
use http::{Method, Request, StatusCode};
use mainstay_health::http::{Endpoint, HealthService};
use mainstay_health::{Check, Clock, HealthManager, Pushed, Status};
use serde_json::json;

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
    let script = Script::new(Run::Takes(crate::scene::millis(250)));
    let health = manager().check(Check::shared("slow", script.probe())).build().unwrap();
    health.start().unwrap();
    crate::scene::pass(crate::scene::millis(300)).await;
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
    crate::scene::pass(secs(60)).await;
    assert_eq!(get(probes, "/healthz").await.told(), (503, "unknown: stopped, check worker"));
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

#[tokio::test(start_paused = true)]
async fn a_manager_that_does_not_run_is_alive_whoever_asks_and_however() {
    let worker = Pushed::new();
    let health =
        manager().check(Check::internal("worker", &worker).critical().restart_on_failure()).build().unwrap();
    let probes = &HealthService::new(&health);
    async fn alive(probes: &HealthService) {
        for path in ["/livez", "/livez?verbose", "/livez?exclude=other", "/health/live"] {
            for method in ["GET", "HEAD"] {
                let request = Request::builder().method(method).uri(path).body(()).unwrap();
                assert_eq!(send(probes, request).await.status.as_u16(), 200, "{method} {path}");
            }
        }
        assert_eq!(get(probes, "/health").await.json()["live"], true);
        assert_eq!(accepting(probes, "/livez", "application/health+json").await.json()["status"], "pass");
    }
    crate::scene::pass(crate::scene::secs(40)).await;
    alive(probes).await;
    health.start().unwrap();
    worker.set(Status::Unhealthy);
    settle().await;
    assert_eq!(get(probes, "/livez").await.status.as_u16(), 503);
    health.stop();
    crate::scene::pass(crate::scene::secs(40)).await;
    alive(probes).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_manager_that_does_not_run_nothing_is_known_now_or_later() {
    let health = manager().build().unwrap();
    let probes = &HealthService::new(&health);
    for _ in 0..2 {
        assert_eq!(get(probes, "/healthz").await.told(), (503, "unknown: created"));
        let answer = get(probes, "/health").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (503, &json!("unknown")));
        assert_eq!(health.report().status(), Status::Unknown);
        crate::scene::pass(crate::scene::secs(40)).await;
    }
}
