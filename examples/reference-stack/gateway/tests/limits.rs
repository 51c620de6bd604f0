//! How much a user may: exactly so much over all gateways, and not more of it without Redis.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that panics fails, as it should"
)]

mod support;

use futures_util::future::join_all;
use mainstay_testkit::RedisServer;
use serde_json::json;
use support::orchestrator::FakeOrchestrator;
use support::{TestGateway, client, gateway, header, json_of, now, token_of, until};

/// A user of a tier, who lists his models.
async fn ask(gateway: &TestGateway, user: &str, tier: &str) -> reqwest::Response {
    let token = token_of(&json!({ "sub": user, "exp": now() + 3600, "tier": tier }));
    client().get(gateway.url("/v1/models")).bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn each_response_says_how_much_is_left_and_beyond_it_is_429() {
    let orchestrator = FakeOrchestrator::start().await;
    // Hours and days: a test may come across the end of a minute.
    let limits = [("RATE_LIMITS", "free:100:3:4,pro:100:5:100")];
    let gateway = gateway(&[orchestrator.url()], &limits).await;
    for left in ["2", "1", "0"] {
        let response = ask(&gateway, "ann", "free").await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            (header(&response, "x-ratelimit-limit"), header(&response, "x-ratelimit-remaining")),
            ("3", left)
        );
        let reset: u64 = header(&response, "x-ratelimit-reset").parse().unwrap();
        assert!(reset.is_multiple_of(3600) && reset + 10 > now(), "the hour's end");
        assert_eq!(header(&response, "x-ratelimit-scope"), "", "there is one gateway, and it counts");
    }
    let refused = ask(&gateway, "ann", "free").await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!((1..=3600).contains(&wait));
    assert_eq!(json_of(refused).await["error"]["code"], "rate_limit_exceeded");
    assert_eq!(ask(&gateway, "bob", "free").await.status(), 200, "others are others");
    assert_eq!(ask(&gateway, "carl", "pro").await.headers()["x-ratelimit-limit"], "5");
}

#[tokio::test]
async fn the_tiers_are_as_the_platforms_users_know_them() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[("RATE_LIMITS", "")]).await;
    for (tier, minute) in
        [("free", "60"), ("pro", "200"), ("max", "300"), ("enterprise", "500"), ("admin", "1000")]
    {
        assert_eq!(ask(&gateway, tier, tier).await.headers()["x-ratelimit-limit"], minute);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_count_exactly_together() {
    let redis = RedisServer::start().unwrap();
    let orchestrator = FakeOrchestrator::start().await;
    let url = redis.url();
    let with = [("REDIS_URL", url.as_str()), ("RATE_LIMITS", "free:10000:10000:50")];
    let (one, two) =
        (gateway(&[orchestrator.url()], &with).await, gateway(&[orchestrator.url()], &with).await);
    for gateway in [&one, &two] {
        until("it counts in Redis", || async {
            header(&ask(gateway, "warm", "pro").await, "x-ratelimit-scope").is_empty()
        })
        .await;
    }
    let answers =
        join_all((0..120).map(|at| ask(if at % 2 == 0 { &one } else { &two }, "ann", "free"))).await;
    let admitted = answers.iter().filter(|answer| answer.status() == 200).count();
    let refused = answers.iter().filter(|answer| answer.status() == 429).count();
    assert_eq!((admitted, refused), (50, 70));
    let mut left: Vec<u64> = answers
        .iter()
        .filter(|answer| answer.status() == 200)
        .map(|answer| header(answer, "x-ratelimit-remaining").parse().unwrap())
        .collect();
    left.sort_unstable();
    assert_eq!(left, (0..50).collect::<Vec<_>>(), "each place was given once");
}

#[tokio::test]
async fn while_redis_is_down_each_gateway_counts_and_says_so() {
    let mut redis = RedisServer::start().unwrap();
    let orchestrator = FakeOrchestrator::start().await;
    let url = redis.url();
    let with = [("REDIS_URL", url.as_str()), ("RATE_LIMITS", "free:100:100:3"), ("CB_REDIS_TIMEOUT", "1s")];
    let gateway = gateway(&[orchestrator.url()], &with).await;
    assert_eq!(header(&ask(&gateway, "ann", "free").await, "x-ratelimit-scope"), "");
    redis.kill().unwrap();
    for left in ["2", "1", "0"] {
        let response = ask(&gateway, "ann", "free").await;
        assert_eq!((response.status().as_u16(), header(&response, "x-ratelimit-remaining")), (200, left));
        assert_eq!(
            (header(&response, "x-ratelimit-scope"), header(&response, "degraded")),
            ("local", "minor")
        );
    }
    let refused = ask(&gateway, "ann", "free").await;
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "x-ratelimit-scope")),
        (429, "local"),
        "not open to all"
    );

    redis.restart().unwrap();
    until("Redis counts again", || async {
        header(&ask(&gateway, "bob", "free").await, "x-ratelimit-scope").is_empty()
    })
    .await;
}
