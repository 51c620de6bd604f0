//! Start and end, maintenance, metrics, and what is in the log.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that panics fails, as it should"
)]

mod support;

use std::time::Duration;

use gateway::Settings;
use mainstay::config::Environment;
use mainstay_testkit::RedisServer;
use serde_json::json;
use support::orchestrator::FakeOrchestrator;
use support::process::{GatewayProcess, command};
use support::{ADMIN, SECRET, client, gateway, header, json_of, question, token, until};

#[test]
fn everything_that_is_wrong_is_in_one_report_and_the_exit_is_78() {
    let wrong = [
        ("JWT_SECRET", "short-and-secret"),
        ("GATEWAY_LISTEN", "nowhere"),
        ("ORCHESTRATORS", "ftp://x,http://y"),
        ("REDIS_URL", "http://:pass-word@x"),
        ("API_KEYS", "ann:god:00"),
        ("ADMIN_TOKEN", "brief-token"),
        ("RATE_LIMITS", "free:0:1:1"),
        ("IDEMPOTENCY_WHEN_REDIS_IS_DOWN", "perhaps"),
        ("BODY_TIMEOUT", "10"),
        ("CORS_ORIGINS", "https://app.example/path"),
        ("CB_REDIS_TIMEOUT", "soon"),
    ];
    let output = command(wrong.map(|(name, value)| (name.to_owned(), value.to_owned()))).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let report = String::from_utf8(output.stderr).unwrap();
    for (name, _) in wrong {
        assert!(report.contains(name), "{name}: {report}");
    }
    for secret in ["short-and-secret", "pass-word", "brief-token"] {
        assert!(!report.contains(secret), "{report}");
    }
    assert_eq!(command([]).output().unwrap().status.code(), Some(78), "without a secret");
}

#[test]
fn a_secret_that_stands_in_examples_is_refused() {
    for secret in ["your-256-bit-secret-your-256-bit-secret", "changeme-changeme-changeme-0123456789"] {
        let environment = Environment::from_iter([("JWT_SECRET", secret)]);
        let report = Settings::load(&environment).unwrap_err().to_string();
        assert!(report.contains("JWT_SECRET") && !report.contains(secret), "{report}");
    }
    let settings =
        Settings::load(&Environment::from_iter([("JWT_SECRET", SECRET), ("ADMIN_TOKEN", ADMIN)])).unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains(SECRET) && !shown.contains(ADMIN));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_in_the_log() {
    let orchestrator = FakeOrchestrator::start().await;
    let with = [
        ("REDIS_URL", "redis://:redis-pass-word@127.0.0.1:1/"),
        ("DATABASE_URL", "postgres://u:db-pass-word@127.0.0.1:1/d"),
    ];
    let mut gateway = GatewayProcess::start(&[orchestrator.url()], &with);
    let url = |path: &str| format!("{}{path}", gateway.url);
    let token = token("ann");
    let asked =
        client().post(url("/v1/chat/completions")).bearer_auth(&token).json(&question("a private word"));
    assert_eq!(asked.header("idempotency-key", "a-private-key").send().await.unwrap().status(), 503);
    let asked =
        client().post(url("/v1/chat/completions")).bearer_auth(&token).json(&question("a private word"));
    assert_eq!(asked.send().await.unwrap().status(), 200);
    let asked =
        client().get(url(&format!("/api/v1/tasks/{}/stream?access_token={token}", uuid::Uuid::nil())));
    assert_eq!(asked.send().await.unwrap().status(), 404);
    let asked = client().get(url("/v1/models")).header("x-api-key", "sk-a-private-key");
    assert_eq!(asked.send().await.unwrap().status(), 503);
    let asked = client().delete(format!("{}/admin/maintenance", gateway.admin)).bearer_auth(ADMIN);
    assert_eq!(asked.send().await.unwrap().status(), 200);
    gateway.terminate();
    assert_eq!(gateway.wait(), 0);
    let log = gateway.log();
    assert!(log.contains("\"answered\""), "{log}");
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    let secrets = [
        SECRET,
        ADMIN,
        &token,
        "redis-pass-word",
        "db-pass-word",
        "sk-a-private-key",
        "a-private-key",
        "a private word",
    ];
    for secret in secrets {
        let at = log.lines().find(|line| line.contains(secret));
        assert!(at.is_none(), "{secret}: {at:?}");
    }
}

#[tokio::test]
async fn maintenance_begins_and_ends_for_operators_alone_and_drains_to_nothing() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    let ready = || async { client().get(gateway.url("/readyz")).send().await.unwrap().status() == 200 };
    until("it is ready", ready).await;
    let place = gateway.admin("/admin/maintenance");
    for token in ["", "wrong", &token("ann")] {
        let asked = client().post(&place).bearer_auth(token).json(&json!({ "reason": "upgrade" }));
        assert_eq!(asked.send().await.unwrap().status(), 401);
    }
    assert!(ready().await);
    let wrong =
        client().post(&place).bearer_auth(ADMIN).json(&json!({ "why": "upgrade" })).send().await.unwrap();
    assert_eq!(wrong.status(), 400);

    orchestrator.hold();
    let path = format!("/api/v1/tasks/{}/stream", gateway.task("hello").await);
    let mut stream = gateway.get(&path).send().await.unwrap();
    let begun =
        client().post(&place).bearer_auth(ADMIN).json(&json!({ "reason": "upgrade" })).send().await.unwrap();
    assert_eq!(begun.status(), 202);
    assert_eq!(json_of(begun).await, json!({ "maintenance": true, "reason": "upgrade", "in_flight": 1 }));
    until("it is not ready", || async { !ready().await }).await;
    let served = gateway.get("/v1/models").send().await.unwrap();
    assert_eq!(
        (served.status().as_u16(), header(&served, "connection")),
        (200, "close"),
        "who comes is served"
    );
    orchestrator.go_on();
    while stream.chunk().await.unwrap().is_some() {}
    let look = || async {
        json_of(client().get(&place).bearer_auth(ADMIN).send().await.unwrap()).await["in_flight"] == 0
    };
    until("nothing is in flight", look).await;
    assert_eq!(client().delete(&place).bearer_auth(ADMIN).send().await.unwrap().status(), 200);
    until("it is ready again", ready).await;
}

#[tokio::test]
async fn without_a_token_nobody_is_an_operator() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[("ADMIN_TOKEN", "")]).await;
    let asked = client().get(gateway.admin("/admin/maintenance")).header("authorization", "Bearer ");
    assert_eq!(asked.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn metrics_and_health_with_details_are_on_the_operators_port() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    gateway.task("hello").await;
    let metrics = client().get(gateway.admin("/metrics")).send().await.unwrap().text().await.unwrap();
    for name in [
        "gateway_requests_total{method=\"POST\",route=\"/api/v1/tasks\",status=\"202\"}",
        "gateway_request_duration_seconds_bucket{route=\"/api/v1/tasks\"",
        "mainstay_breaker_state{breaker=\"grpc\"} 0",
        "mainstay_config_valid 1",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    let detailed = || async {
        let health = json_of(client().get(gateway.admin("/health/detailed")).send().await.unwrap()).await;
        ["redis", "database", "orchestrator"]
            .iter()
            .all(|name| health["components"][name]["status"] == "healthy")
    };
    until("all checks are healthy", detailed).await;
}

#[tokio::test]
async fn an_end_closes_streams_with_a_word_and_lets_answers_finish() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    orchestrator.hold();
    let path = format!("/api/v1/tasks/{}/stream", gateway.task("hello").await);
    let stream = gateway.get(&path).send().await.unwrap();
    let asked = gateway.post("/v1/chat/completions", &question("hello"));
    let answer = tokio::spawn(asked.send());
    until("both tasks run", || async { orchestrator.world.ran() == 2 }).await;
    let stopping = tokio::spawn(gateway.stop());
    let told = stream.text().await.unwrap();
    assert!(told.contains("retry: 1000") && told.contains("id: 1.2") && !told.contains("id: 1.3"), "{told}");
    orchestrator.go_on();
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(json_of(answer).await["choices"][0]["message"]["content"], "You said: hello");
    tokio::time::timeout(Duration::from_secs(45), stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_matters_less_is_shed_when_things_are_bad() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    let level = mainstay::degrade::Level::Moderate;
    gateway.running.as_ref().unwrap().mainstay().degradation().pin(level, Duration::from_secs(600)).unwrap();
    let shed = gateway.get("/v1/models").header("x-criticality", "sheddable").send().await.unwrap();
    assert_eq!((shed.status().as_u16(), header(&shed, "retry-after")), (503, "30"));
    assert_eq!(header(&shed, "degraded"), "moderate");
    assert!(json_of(shed).await["error"]["message"].is_string());
    let served = gateway.get("/v1/models").send().await.unwrap();
    assert_eq!(served.status(), 200, "users wait for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_ends_cleanly_at_a_signal() {
    let orchestrator = FakeOrchestrator::start().await;
    let mut gateway = GatewayProcess::start(&[orchestrator.url()], &[]);
    assert_eq!(client().get(format!("{}/livez", gateway.url)).send().await.unwrap().status(), 200);
    gateway.terminate();
    assert_eq!(gateway.wait(), 0);
}

/// A Redis that speaks TLS, and the file of the authority that vouches for it.
fn redis_over_tls(files: &std::path::Path) -> (RedisServer, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (files.join("certificate.pem"), files.join("key.pem"));
    std::fs::write(&certificate, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let certificate = certificate.to_str().unwrap();
    let arguments = [
        ["--tls-port", &port],
        ["--tls-cert-file", certificate],
        ["--tls-key-file", key.to_str().unwrap()],
        ["--tls-auth-clients", "no"],
    ];
    (RedisServer::start_with(&arguments.concat()).unwrap(), format!("rediss://localhost:{port}/"))
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_over_tls_is_asked_if_its_certificate_is_trusted() {
    let orchestrator = FakeOrchestrator::start().await;
    let files = tempfile::tempdir().unwrap();
    let (_redis, url) = redis_over_tls(files.path());
    let trusted = files.path().join("certificate.pem");
    for (trusted, scope) in [(trusted.to_str().unwrap(), ""), ("/dev/null", "local")] {
        let with = [("REDIS_URL", url.as_str()), ("SSL_CERT_FILE", trusted)];
        let gateway = GatewayProcess::start(&[orchestrator.url()], &with);
        let counted = async || {
            let asked = client().get(format!("{}/v1/models", gateway.url)).bearer_auth(token("ann"));
            header(&asked.send().await.unwrap(), "x-ratelimit-scope").to_owned()
        };
        until("it is counted as it should be", || async { counted().await == scope }).await;
    }
}
