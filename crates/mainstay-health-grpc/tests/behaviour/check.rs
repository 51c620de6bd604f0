//! `Check` and `List`: which names there are, and what they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::served::{
    NotServing, Serving, channel, check, client, manager, next, ready, serve, soon, until, watch,
};
use mainstay_health::{Check, CheckOutcome, Pushed, Report, Status};
use mainstay_health_grpc::pb::{self, HealthListRequest};
use mainstay_health_grpc::tonic::Code;
use mainstay_health_grpc::{HealthGrpc, Serves};

#[tokio::test]
async fn the_whole_serves_when_the_service_is_ready() {
    let (health, worker, _) = ready().await;
    let mut client = client(HealthGrpc::new(&health)).await;
    for name in ["", "readiness", "liveness", "startup", "worker"] {
        assert_eq!(check(&mut client, name).await, Ok(Serving), "{name:?}");
    }
    worker.set(CheckOutcome::unhealthy("it stands still"));
    until(&health, |report| !report.is_ready()).await;
    for name in ["", "readiness", "worker"] {
        assert_eq!(check(&mut client, name).await, Ok(NotServing), "{name:?}");
    }
    for name in ["liveness", "startup"] {
        assert_eq!(check(&mut client, name).await, Ok(Serving), "{name:?}");
    }
}

#[tokio::test]
async fn nothing_is_ready_before_the_manager_runs() {
    let worker = Pushed::new();
    worker.set(());
    let (builder, _) = manager();
    let health = builder.check(Check::internal("worker", &worker).critical()).build().unwrap();
    let mut client = client(HealthGrpc::new(&health)).await;
    for name in ["", "readiness", "startup", "worker"] {
        assert_eq!(check(&mut client, name).await, Ok(NotServing), "{name:?}");
    }
    assert_eq!(check(&mut client, "liveness").await, Ok(Serving));
}

#[tokio::test]
async fn the_name_of_a_check_serves_while_it_is_healthy_or_degraded() {
    let (health, ..) = ready().await;
    let cache = Pushed::new();
    health.register(Check::shared("cache", &cache)).unwrap();
    let mut client = client(HealthGrpc::new(&health)).await;
    assert_eq!(check(&mut client, "cache").await, Ok(NotServing), "unknown is not serving");
    for (outcome, expected) in [
        (CheckOutcome::healthy(), Serving),
        (CheckOutcome::degraded("slow"), Serving),
        (CheckOutcome::unhealthy("gone"), NotServing),
    ] {
        let status = outcome.status();
        cache.set(outcome);
        until(&health, |report| report.check("cache").is_some_and(|check| check.status == status)).await;
        assert_eq!(check(&mut client, "cache").await, Ok(expected), "{status}");
    }
    cache.set(());
    until(&health, |report| report.check("cache").is_some_and(|check| check.status == Status::Healthy)).await;
    health.disable("cache").unwrap();
    assert_eq!(check(&mut client, "cache").await, Ok(NotServing), "switched off is not serving");
    health.deregister("cache").unwrap();
    assert_eq!(check(&mut client, "cache").await, Err(Code::NotFound));
}

#[tokio::test]
async fn a_name_that_there_is_not_is_not_found() {
    let (health, ..) = ready().await;
    let mut client = client(HealthGrpc::new(&health)).await;
    for name in ["orders.v1.Orders", "Worker", "worker ", "readyness", &"x".repeat(129), &"x".repeat(4000)] {
        assert_eq!(check(&mut client, name).await, Err(Code::NotFound), "{name:?}");
    }
    assert_eq!(check(&mut client, &"x".repeat(5000)).await, Err(Code::OutOfRange), "no name is that long");
}

#[tokio::test]
async fn a_service_stands_for_what_it_was_given() {
    let (health, worker, _) = ready().await;
    let (postgres, cache) = (Pushed::new(), Pushed::new());
    postgres.set(());
    cache.set(CheckOutcome::unhealthy("gone"));
    health.register(Check::shared("postgres", &postgres)).unwrap();
    health.register(Check::shared("cache", &cache)).unwrap();
    until(&health, |report| report.summary().unknown == 0).await;
    let service = HealthGrpc::new(&health)
        .service("orders.v1.Orders", Serves::Readiness)
        .service("orders.v1.Reads", Serves::check("postgres"))
        .service("orders.v1.Search", Serves::checks(["postgres", "cache"]))
        .service("orders.v1.Later", Serves::checks(["postgres", "index"]))
        .service("orders.v1.Nothing", Serves::checks::<String>([]))
        .service("orders.v1.Alive", Serves::Liveness)
        .service("cache", Serves::check("worker"));
    let mut client = client(service).await;
    for (name, expected) in [
        ("orders.v1.Orders", Serving),
        ("orders.v1.Reads", Serving),
        ("orders.v1.Search", NotServing),
        ("orders.v1.Later", NotServing),
        ("orders.v1.Nothing", NotServing),
        ("orders.v1.Alive", Serving),
        ("cache", Serving),
    ] {
        assert_eq!(check(&mut client, name).await, Ok(expected), "{name}");
    }
    // Of a set, what is switched off is left out.
    health.disable("cache").unwrap();
    assert_eq!(check(&mut client, "orders.v1.Search").await, Ok(Serving));
    worker.set(CheckOutcome::unhealthy("it stands still"));
    until(&health, |report| !report.is_ready()).await;
    assert_eq!(check(&mut client, "orders.v1.Orders").await, Ok(NotServing));
    assert_eq!(check(&mut client, "orders.v1.Reads").await, Ok(Serving));
}

#[tokio::test]
async fn a_service_that_stands_for_checks_does_not_serve_before_startup_or_in_maintenance() {
    let (builder, _) = manager();
    let postgres = Pushed::new();
    postgres.set(());
    let health =
        builder.check(Check::shared("postgres", &postgres)).startup_latch("migrations").build().unwrap();
    health.start().unwrap();
    until(&health, |report| report.summary().healthy == 1).await;
    let service = HealthGrpc::new(&health).service("orders.v1.Orders", Serves::check("postgres"));
    let mut client = client(service).await;
    let mut stream = watch(&mut client, "orders.v1.Orders").await;
    assert_eq!(next(&mut stream).await.unwrap(), NotServing);
    assert_eq!(check(&mut client, "orders.v1.Orders").await, Ok(NotServing));
    assert_eq!(check(&mut client, "postgres").await, Ok(Serving), "what a check finds is told all the same");

    health.startup_latch("migrations").unwrap().open();
    assert_eq!(next(&mut stream).await.unwrap(), Serving);
    assert_eq!(check(&mut client, "orders.v1.Orders").await, Ok(Serving));

    health.begin_maintenance("moving house");
    assert_eq!(next(&mut stream).await.unwrap(), NotServing);
    assert_eq!(check(&mut client, "orders.v1.Orders").await, Ok(NotServing));
    assert_eq!(check(&mut client, "postgres").await, Ok(Serving));
    health.end_maintenance();
    assert_eq!(next(&mut stream).await.unwrap(), Serving);
    assert_eq!(check(&mut client, "orders.v1.Orders").await, Ok(Serving));
}

#[tokio::test]
async fn names_of_checks_can_be_kept_from_strangers() {
    let (health, ..) = ready().await;
    let service =
        HealthGrpc::new(&health).check_names(false).service("orders.v1.Orders", Serves::check("worker"));
    let (addr, _) = serve(service).await;
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel(addr));
    assert_eq!(check(&mut client, "worker").await, Err(Code::NotFound));
    assert_eq!(check(&mut client, "orders.v1.Orders").await, Ok(Serving));
    let mut client = pb::health_client::HealthClient::new(channel(addr));
    let listed = soon(client.list(HealthListRequest {})).await.unwrap().into_inner().statuses;
    let names: Vec<_> = listed.keys().map(String::as_str).collect();
    assert_eq!(names, ["", "liveness", "orders.v1.Orders", "readiness", "startup"]);
}

#[tokio::test]
async fn list_tells_all_names_and_refuses_more_than_a_hundred() {
    let (health, ..) = ready().await;
    let service = HealthGrpc::new(&health).service("orders.v1.Orders", Serves::check("nobody"));
    let (addr, _) = serve(service).await;
    let mut client = pb::health_client::HealthClient::new(channel(addr));
    let listed = soon(client.list(HealthListRequest {})).await.unwrap().into_inner().statuses;
    let listed: Vec<_> =
        listed.iter().map(|(name, answer)| (name.as_str(), answer.status().as_str_name())).collect();
    assert_eq!(
        listed,
        [
            ("", "SERVING"),
            ("liveness", "SERVING"),
            ("orders.v1.Orders", "NOT_SERVING"),
            ("readiness", "SERVING"),
            ("startup", "SERVING"),
            ("worker", "SERVING"),
        ]
    );
    let idle = Pushed::new();
    for number in listed.len()..100 {
        health.register(Check::shared(format!("check-{number}"), &idle)).unwrap();
    }
    assert_eq!(soon(client.list(HealthListRequest {})).await.unwrap().into_inner().statuses.len(), 100);
    health.register(Check::shared("one-more", &idle)).unwrap();
    assert_eq!(soon(client.list(HealthListRequest {})).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn maintenance_and_a_drain_end_readiness_but_not_liveness() {
    let (health, ..) = ready().await;
    let mut client = client(HealthGrpc::new(&health)).await;
    health.begin_maintenance("moving house");
    assert_eq!(check(&mut client, "").await, Ok(NotServing));
    assert_eq!(check(&mut client, "worker").await, Ok(Serving));
    health.end_maintenance();
    assert_eq!(check(&mut client, "").await, Ok(Serving));

    let drain = health.clone();
    let draining = tokio::spawn(async move { drain.drain().await });
    until(&health, |report| report.phase().is_draining()).await;
    for name in ["", "readiness", "worker"] {
        assert_eq!(check(&mut client, name).await, Ok(NotServing), "{name:?}");
    }
    for name in ["liveness", "startup"] {
        assert_eq!(check(&mut client, name).await, Ok(Serving), "{name:?}");
    }
    draining.abort();
    health.stop();
    assert_eq!(check(&mut client, "").await, Ok(NotServing));
    assert_eq!(check(&mut client, "worker").await, Ok(NotServing));
    health.start().unwrap();
    until(&health, Report::is_ready).await;
    assert_eq!(check(&mut client, "").await, Ok(Serving));
}
