//! What is shown to whom over HTTP.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use crate::asking::{accepting, get, send};
use crate::scene::{manager, settle};
use http::Request;
use mainstay_health::http::{DetailsPolicy, Endpoint, HealthService};
use mainstay_health::{Check, CheckError, CheckOutcome, ErrorClass, HealthManager};

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
