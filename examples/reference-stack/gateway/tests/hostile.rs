//! What nobody sends who means well: each a clear 4xx.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that panics fails, as it should"
)]

mod support;

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use support::orchestrator::FakeOrchestrator;
use support::{SECRET, TestGateway, gateway, header, json_of, now, question, signed, token, token_of, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn one() -> (FakeOrchestrator, TestGateway) {
    one_with(&[]).await
}

async fn one_with(more: &[(&str, &str)]) -> (FakeOrchestrator, TestGateway) {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], more).await;
    (orchestrator, gateway)
}

/// Sends bytes as they are, and reads until the gateway closes, or has said its status.
async fn raw(gateway: &TestGateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    // The gateway may close before it has read it all.
    let _ = stream.write_all(bytes).await;
    answer(&mut stream).await
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 512];
    let read = tokio::time::timeout(Duration::from_secs(45), stream.read(&mut answer)).await;
    let length = read.expect("an answer").unwrap_or(0);
    String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn tokens_that_are_not_ours_are_refused() {
    let (orchestrator, gateway) = one().await;
    let good = json!({ "sub": "ann", "exp": now() + 3600 });
    let parts: Vec<String> = token("ann").split('.').map(str::to_owned).collect();
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let refused = [
        ("expired", token_of(&json!({ "sub": "ann", "exp": now() - 120 }))),
        ("not valid yet", token_of(&json!({ "sub": "ann", "exp": now() + 3600, "nbf": now() + 600 }))),
        ("without an end", token_of(&json!({ "sub": "ann" }))),
        ("without a user", token_of(&json!({ "exp": now() + 3600 }))),
        ("of an empty user", token_of(&json!({ "sub": "", "exp": now() + 3600 }))),
        ("of a user with a line break", token_of(&json!({ "sub": "a\nb", "exp": now() + 3600 }))),
        ("of an unknown tier", token_of(&json!({ "sub": "ann", "exp": now() + 3600, "tier": "god" }))),
        ("of another secret", signed(&good, Algorithm::HS256, "another-secret-of-more-than-32-bytes!")),
        ("of another algorithm", signed(&good, Algorithm::HS512, SECRET)),
        ("too long", token_of(&json!({ "sub": "ann", "exp": now() + 3600, "more": "x".repeat(9_000) }))),
        ("alg none", format!("{none}.{}.", parts[1])),
        ("alg none with a signature", format!("{none}.{}.{}", parts[1], parts[2])),
        ("unsigned", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("nonsense", "a.b.c".to_owned()),
        ("a key of nobody", "sk-nobody".to_owned()),
    ];
    for (what, token) in refused {
        let asked = gateway
            .client
            .post(gateway.url("/api/v1/tasks"))
            .bearer_auth(&token)
            .json(&json!({ "input": "x" }));
        let response = asked.send().await.unwrap();
        assert_eq!(response.status(), 401, "{what}");
        assert!(header(&response, "www-authenticate").starts_with("Bearer "), "{what}");
        let text = response.text().await.unwrap();
        assert!(!text.contains(&token), "{what}: {text}");
    }
    let nobody = gateway.client.get(gateway.url("/v1/models")).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert_eq!(json_of(nobody).await["error"]["code"], "invalid_api_key", "OpenAI's shape");
    for wrong in ["Basic YTpi", "Bearer", "Bearer ", "nonsense"] {
        let asked = gateway.client.get(gateway.url("/v1/models")).header("authorization", wrong);
        assert_eq!(asked.send().await.unwrap().status(), 401, "{wrong}");
    }
    let twice = gateway.get("/v1/models").header("authorization", "Bearer x").send().await.unwrap();
    assert_eq!(twice.status(), 400, "two credentials");
    assert_eq!(orchestrator.world.submits(), 0);
}

#[tokio::test]
async fn issuer_and_audience_are_checked_if_they_are_set() {
    let (_orchestrator, gateway) = one_with(&[("JWT_ISSUER", "house"), ("JWT_AUDIENCE", "stack")]).await;
    let status = async |claims: Value| {
        gateway
            .client
            .get(gateway.url("/v1/models"))
            .bearer_auth(token_of(&claims))
            .send()
            .await
            .unwrap()
            .status()
    };
    let good = json!({ "sub": "ann", "exp": now() + 60, "iss": "house", "aud": "stack" });
    assert_eq!(status(good.clone()).await, 200);
    for (claim, value) in [("iss", "other"), ("aud", "other")] {
        let mut wrong = good.clone();
        wrong[claim] = json!(value);
        assert_eq!(status(wrong).await, 401, "another {claim}");
        let mut lacking = good.clone();
        lacking.as_object_mut().unwrap().remove(claim);
        assert_eq!(status(lacking).await, 401, "no {claim}");
    }
    let just_over = json!({ "sub": "ann", "exp": now() - 1, "iss": "house", "aud": "stack" });
    assert_eq!(status(just_over).await, 200, "clocks may be apart");
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_refused_with_what_is_wrong() {
    let (orchestrator, gateway) = one().await;
    let cases: [(&str, &[u8], u16); 14] = [
        ("/api/v1/tasks", b"", 400),
        ("/api/v1/tasks", b"{", 400),
        ("/api/v1/tasks", b"[]", 400),
        ("/api/v1/tasks", b"{\"input\": 1}", 400),
        ("/api/v1/tasks", b"{\"input\": \"\xff\xfe\"}", 400),
        ("/api/v1/tasks", b"{\"input\": \"x\", \"more\": 1}", 400),
        ("/api/v1/tasks", b"{\"input\": \"x\"} x", 400),
        ("/api/v1/tasks", b"{\"input\": \"x\", \"mode\": \"best\"}", 400),
        ("/api/v1/tasks", b"{\"input\": \"x\", \"model\": \"none\"}", 404),
        (
            "/v1/chat/completions",
            b"{\"model\": \"none\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}",
            404,
        ),
        ("/v1/chat/completions", b"{}", 400),
        ("/v1/chat/completions", b"\xff\xff", 400),
        ("/v1/chat/completions", b"{\"model\": \"m\", \"messages\": []}", 400),
        (
            "/v1/chat/completions",
            b"{\"model\": \"m\", \"messages\": [{\"role\": \"tool\", \"content\": \"x\"}]}",
            400,
        ),
    ];
    for (path, body, status) in cases {
        let asked = gateway.client.post(gateway.url(path)).bearer_auth(token("ann"));
        let response =
            asked.header("content-type", "application/json").body(body.to_vec()).send().await.unwrap();
        let body = String::from_utf8_lossy(body);
        assert_eq!(response.status(), status, "{path} {body}");
        let kind = header(&response, "content-type").to_owned();
        let told = json_of(response).await;
        match path.starts_with("/v1") {
            true => assert!(told["error"]["message"].is_string() && kind == "application/json", "{body}"),
            false => assert!(told["detail"].is_string() && kind == "application/problem+json", "{body}"),
        }
    }
    let nested = format!("{{\"input\": {}", "[".repeat(100_000));
    let asked = gateway.client.post(gateway.url("/api/v1/tasks")).bearer_auth(token("ann")).body(nested);
    assert_eq!(asked.send().await.unwrap().status(), 400, "deep");
    let asked = gateway.client.post(gateway.url("/api/v1/tasks")).bearer_auth(token("ann"));
    let asked = asked.header("content-type", "application/x-www-form-urlencoded").body("input=x");
    assert_eq!(asked.send().await.unwrap().status(), 415);
    assert_eq!(orchestrator.world.submits(), 0);
}

#[tokio::test]
async fn a_body_of_more_than_a_mebibyte_is_too_large() {
    let (_orchestrator, gateway) = one().await;
    let large = "x".repeat(1024 * 1024 + 1);
    let response = gateway.post("/api/v1/tasks", &json!({ "input": large })).send().await.unwrap();
    assert_eq!(response.status(), 413);
    // The length is not announced.
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        token("ann")
    );
    let mut bytes = head.into_bytes();
    for _ in 0..17 {
        bytes.extend(b"10000\r\n");
        bytes.extend([b'x'; 0x10000]);
        bytes.extend(b"\r\n");
    }
    assert_eq!(raw(&gateway, &bytes).await, "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test]
async fn header_floods_are_refused() {
    let (_orchestrator, gateway) = one().await;
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    let status = raw(&gateway, format!("GET /health HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await;
    assert_eq!(status, "HTTP/1.1 431 Request Header Fields Too Large");
    let long = "x".repeat(100_000);
    let status =
        raw(&gateway, format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n").as_bytes()).await;
    assert_eq!(status, "HTTP/1.1 431 Request Header Fields Too Large");
    let status = raw(&gateway, format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
    assert!(status.starts_with("HTTP/1.1 4"), "{status}");
    assert!(raw(&gateway, b"\x16\x03\x01 nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn slow_bodies_time_out() {
    let (_orchestrator, gateway) = one_with(&[("BODY_TIMEOUT", "300ms")]).await;
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1000\r\n\r\n{{",
        token("ann")
    );
    assert_eq!(raw(&gateway, head.as_bytes()).await, "HTTP/1.1 408 Request Timeout");
}

#[tokio::test]
async fn bodies_whose_requests_are_not_handed_on_yet_have_so_much_memory_and_no_more() {
    let memory = [("BODY_LIMIT", "1000"), ("BODY_MEMORY", "1500"), ("BODY_TIMEOUT", "300ms")];
    let (orchestrator, gateway) = one_with(&memory).await;
    orchestrator.world.stall(true);
    let large = json!({ "input": "x".repeat(900) });
    let held = tokio::spawn(gateway.post("/api/v1/tasks", &large).send());
    let is_full = || async {
        let refused = gateway.post("/api/v1/tasks", &large).send().await.unwrap();
        assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (503, "1"));
        true
    };
    until("the first one is there", || async { held.is_finished() || orchestrator.world.is_stalling() })
        .await;
    assert!(is_full().await);
    orchestrator.world.stall(false);
    assert_eq!(held.await.unwrap().unwrap().status(), 202);
    assert_eq!(gateway.post("/api/v1/tasks", &large).send().await.unwrap().status(), 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_for_another_leave_memory_to_those_that_need_not() {
    let memory = [("BODY_LIMIT", "1000"), ("BODY_MEMORY", "4000"), ("IDEMPOTENCY_WAIT", "60s")];
    let (orchestrator, gateway) = one_with(&memory).await;
    orchestrator.hold();
    let body = question(&"x".repeat(900));
    let ask = || gateway.post("/v1/chat/completions", &body).header("idempotency-key", "key-1").send();
    let first = tokio::spawn(ask());
    until("the first one runs", || async { orchestrator.world.ran() == 1 }).await;
    let others: Vec<_> = (0..10).map(|_| tokio::spawn(ask())).collect();
    let refused = || others.iter().filter(|other| other.is_finished()).count();
    until("those that find no room are refused", || async { refused() == 8 }).await;
    gateway.task(&"x".repeat(900)).await;
    orchestrator.go_on();
    let mut statuses = vec![first.await.unwrap().unwrap().status().as_u16()];
    for other in others {
        statuses.push(other.await.unwrap().unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 3].as_slice(), &[409; 8]].concat());
}

#[tokio::test]
async fn what_an_orchestrator_would_not_read_is_too_large() {
    let (orchestrator, gateway) = one().await;
    orchestrator.refuse((tonic::Code::OutOfRange, "decoded message length too large"));
    let response = gateway.post("/api/v1/tasks", &json!({ "input": "x" })).send().await.unwrap();
    assert_eq!(response.status(), 413);
    let settings = |limit: &str| {
        let variables = support::variables(&[orchestrator.url()], &[("BODY_LIMIT", limit)]);
        gateway::Settings::load(&mainstay::config::Environment::from_iter(variables))
    };
    assert!(settings("2097152").is_ok());
    assert!(settings("2097153").unwrap_err().to_string().contains("BODY_LIMIT"));
}

#[tokio::test]
async fn connections_beyond_the_most_wait_until_another_one_is_closed() {
    let (_orchestrator, gateway) = one_with(&[("MAX_CONNECTIONS", "2")]).await;
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    };
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        ask(&mut stream).await;
        assert_eq!(answer(&mut stream).await, "HTTP/1.1 200 OK");
        kept.push(stream);
    }
    let mut third = TcpStream::connect(gateway.addr).await.unwrap();
    ask(&mut third).await;
    let early = tokio::time::timeout(Duration::from_millis(500), third.readable()).await;
    assert!(early.is_err(), "there is no place for it yet");
    kept.pop();
    assert_eq!(answer(&mut third).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn nobody_waits_for_ever_for_an_answer() {
    let (orchestrator, gateway) = one_with(&[("REQUEST_TIMEOUT", "300ms")]).await;
    orchestrator.hold();
    let response = gateway.post("/v1/chat/completions", &question("x")).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (504, "1"));
    assert_eq!(json_of(response).await["error"]["type"], "server_error", "OpenAI's shape");
    orchestrator.world.stall(true);
    let response = gateway.post("/api/v1/tasks", &json!({ "input": "x" })).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (504, "1"));
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    orchestrator.world.stall(false);
}

#[tokio::test]
async fn slow_heads_are_cut_off() {
    let (_orchestrator, gateway) = one_with(&[("HEADER_TIMEOUT", "300ms")]).await;
    for head in [b"".as_slice(), b"P", b"GET /health HTTP/1.1\r\nhost:"] {
        let status = raw(&gateway, head).await;
        assert!(status.is_empty() || status.starts_with("HTTP/1.1 408"), "{status}");
    }
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_kept_for_longer_than_a_head_may_take_and_not_for_ever() {
    let times = [("HEADER_TIMEOUT", "300ms"), ("IDLE_TIMEOUT", "3s")];
    let (_orchestrator, gateway) = one_with(&times).await;
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(answer(&mut stream).await, "HTTP/1.1 200 OK");
        // Longer than a head may take.
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    assert_eq!(answer(&mut stream).await, "", "half a head");
    let mut idle = TcpStream::connect(gateway.addr).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut idle).await, "HTTP/1.1 200 OK");
    assert_eq!(answer(&mut idle).await, "", "it is closed in the end");
}

#[tokio::test]
async fn idempotency_keys_and_names_have_bounds() {
    let (orchestrator, gateway) = one().await;
    for key in ["".to_owned(), "k".repeat(256), "k".repeat(10_000), "a b".to_owned(), "\u{e9}".to_owned()] {
        let asked = gateway.post("/api/v1/tasks", &json!({ "input": "x" }));
        let asked = asked
            .header("idempotency-key", reqwest::header::HeaderValue::from_bytes(key.as_bytes()).unwrap());
        let response = asked.send().await.unwrap();
        assert_eq!(response.status(), 400, "{} bytes", key.len());
        assert_eq!(json_of(response).await["field"], "Idempotency-Key");
    }
    for (name, value) in [("x-session-id", "a b"), ("x-execution-mode", "best")] {
        let asked = gateway.post("/v1/chat/completions", &question("x")).header(name, value);
        assert_eq!(asked.send().await.unwrap().status(), 400, "{name}");
    }
    assert_eq!(orchestrator.world.submits(), 0);
    let longest =
        gateway.post("/api/v1/tasks", &json!({ "input": "x" })).header("idempotency-key", "k".repeat(255));
    assert_eq!(longest.send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn paths_and_queries_that_do_not_parse_are_problems() {
    let (_orchestrator, gateway) = one().await;
    for path in [
        "/api/v1/tasks/no-uuid",
        "/api/v1/tasks/%ff%fe",
        "/api/v1/tasks?page_size=0",
        "/api/v1/tasks?page_size=x",
        "/api/v1/tasks?status=lost",
        "/api/v1/tasks?more=1",
        "/api/v1/tasks?page_token=%ff",
    ] {
        let response = gateway.get(path).send().await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
        assert_eq!(header(&response, "content-type"), "application/problem+json", "{path}");
    }
}
