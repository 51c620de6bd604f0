//! Requests to the probes, their answers, and a service to ask about.
#![allow(dead_code, unreachable_pub, missing_docs, missing_debug_implementations)]

use http::{HeaderMap, Request, StatusCode};
use mainstay_health::http::HealthService;
use mainstay_health::{Check, HealthManager, Pushed, Status};
use serde_json::Value;
use tower_service::Service;

use crate::scene::{manager, settle};

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    pub place: *const u8,
}

impl Answer {
    pub fn kind(&self) -> &str {
        self.headers["content-type"].to_str().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn keys(&self) -> Vec<String> {
        self.json().as_object().unwrap().keys().cloned().collect()
    }

    /// Its status and its text.
    pub fn told(&self) -> (u16, &str) {
        (self.status.as_u16(), &self.body)
    }
}

pub async fn send<B>(service: &HealthService, request: Request<B>) -> Answer {
    let response = service.clone().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    assert_eq!(parts.headers["cache-control"], "no-store");
    let place = body.as_bytes().as_ptr();
    let body = String::from_utf8(body.as_bytes().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body, place }
}

pub async fn get(service: &HealthService, uri: &str) -> Answer {
    send(service, Request::get(uri).body(()).unwrap()).await
}

pub async fn accepting(service: &HealthService, uri: &str, accept: &str) -> Answer {
    send(service, Request::get(uri).header("accept", accept).body(()).unwrap()).await
}

/// A manager that runs, with a check of each scope, all of them critical, and one that is not; and what sets them.
pub struct Orders {
    pub health: HealthManager,
    pub probes: HealthService,
    pub worker: Pushed,
    pub disk: Pushed,
    pub redis: Pushed,
    pub llm: Pushed,
}

pub async fn orders() -> Orders {
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
