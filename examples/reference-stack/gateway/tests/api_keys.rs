//! API keys: of the environment, of the table, and while the table is away.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that panics fails, as it should"
)]

mod support;

use mainstay_testkit::PostgresServer;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use support::orchestrator::FakeOrchestrator;
use support::{TestGateway, client, gateway, header, until};

fn hash(key: &str) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn ask(gateway: &TestGateway, key: &str) -> reqwest::Response {
    client().get(gateway.url("/v1/models")).header("x-api-key", key).send().await.unwrap()
}

#[tokio::test]
async fn a_key_of_the_environment_is_known_by_its_hash() {
    let orchestrator = FakeOrchestrator::start().await;
    let keys = format!("ann:pro:{}", hash("sk-ann-1"));
    let gateway = gateway(&[orchestrator.url()], &[("API_KEYS", &keys), ("RATE_LIMITS", "")]).await;
    let response = ask(&gateway, "sk-ann-1").await;
    assert_eq!((response.status().as_u16(), header(&response, "x-ratelimit-limit")), (200, "200"));
    assert_eq!(ask(&gateway, "sk-ann-2").await.status(), 401);
    assert_eq!(ask(&gateway, "").await.status(), 401);
    assert_eq!(ask(&gateway, &"k".repeat(10_000)).await.status(), 401);
    let as_bearer =
        client().post(gateway.url("/api/v1/tasks")).bearer_auth("sk-ann-1").json(&json!({ "input": "x" }));
    assert_eq!(as_bearer.send().await.unwrap().status(), 202, "as OpenAI's clients send it");
    assert_eq!(orchestrator.world.last_request().user, "ann");
}

#[tokio::test]
async fn a_key_of_the_embedded_table_is_known() {
    let orchestrator = FakeOrchestrator::start().await;
    let data = tempfile::tempdir().unwrap();
    let gateway = gateway(&[orchestrator.url()], &[("DATA_DIR", data.path().to_str().unwrap())]).await;
    assert_eq!(ask(&gateway, "sk-bob").await.status(), 401);
    let file = rusqlite::Connection::open(data.path().join("gateway.sqlite")).unwrap();
    file.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    file.execute("INSERT INTO api_keys VALUES (?1, 'bob', 'max')", [hash("sk-bob")]).unwrap();
    until("it is known", || async { ask(&gateway, "sk-bob").await.status() == 200 }).await;
}

#[tokio::test]
async fn a_key_with_dots_is_a_key() {
    let orchestrator = FakeOrchestrator::start().await;
    let keys = format!("ann:pro:{}", hash("sk.ann.1"));
    let gateway = gateway(&[orchestrator.url()], &[("API_KEYS", &keys)]).await;
    let asked = client().get(gateway.url("/v1/models")).bearer_auth("sk.ann.1").send().await.unwrap();
    assert_eq!(asked.status(), 200);
}

#[tokio::test]
async fn a_key_of_nobody_is_not_looked_up_each_time() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    let refused = futures_util::future::join_all((0..200).map(|_| ask(&gateway, "sk-nobody"))).await;
    assert!(refused.iter().all(|refused| refused.status() == 401));
    let database = gateway.running.as_ref().unwrap().mainstay().breaker("database").unwrap();
    let asked = database.snapshot().totals.success;
    assert!(asked < 100, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_down_keys_that_were_good_are_good_and_others_are_told_to_wait() {
    let mut postgres = PostgresServer::start().unwrap();
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[("DATABASE_URL", &postgres.url())]).await;
    until("the table is there", || async { ask(&gateway, "sk-nobody").await.status() == 401 }).await;
    let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
    let insert =
        "INSERT INTO api_keys (key_sha256, user_id, tier) VALUES ($1, 'ann', 'pro'), ($2, 'bob', 'pro')";
    sqlx::query(insert).bind(hash("sk-ann")).bind(hash("sk-bob")).execute(&mut connection).await.unwrap();
    assert_eq!(ask(&gateway, "sk-ann").await.status(), 200);
    drop(connection);

    postgres.kill().unwrap();
    assert_eq!(ask(&gateway, "sk-ann").await.status(), 200, "it was good a moment ago");
    let response = ask(&gateway, "sk-bob").await;
    assert_eq!(response.status(), 503, "nobody knows");
    assert_ne!(header(&response, "retry-after"), "");
    assert!(!response.text().await.unwrap().contains("127.0.0.1"), "what the driver says stays in the house");
}
