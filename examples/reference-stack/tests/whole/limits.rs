//! Rate limits over two gateways.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use crate::stack::{Apart, client};
use crate::support::token;

fn hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 3600
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_let_through_exactly_as_many_as_may() {
    let mut stack =
        Apart::start(2, 1, &[("RATE_LIMITS", "free:100000:40:100000"), ("RUST_LOG", "trace")]).await;
    let client = client();
    // Another one if the hour ends meanwhile, and all are counted anew.
    for user in ["ann", "bob"] {
        let (token, begin) = (token(user, "free"), hour());
        let answers = join_all((0..100).map(|number| {
            let url = format!("http://{}/v1/models", stack.gateways[number % 2].address);
            client.get(url).bearer_auth(&token).send()
        }))
        .await;
        if hour() != begin {
            continue;
        }
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let (through, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status() == 200);
        assert_eq!((through.len(), refused.len()), (40, 60));
        for answer in refused {
            assert_eq!(answer.status(), 429);
            let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=3600).contains(&wait), "{wait}");
            assert!(answer.headers().get("x-ratelimit-scope").is_none(), "Redis counts: {answer:?}");
        }

        // Without Redis each gateway counts for itself, and says so.
        stack.redis.as_mut().unwrap().kill().unwrap();
        let answer = client
            .get(format!("http://{}/v1/models", stack.gateways[0].address))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-ratelimit-scope"], "local");
        assert!(answer.headers().contains_key("degraded"), "{answer:?}");
        return;
    }
    panic!("two hours have ended");
}
