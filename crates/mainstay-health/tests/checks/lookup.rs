use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainstay_health::checks::Lookup;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longer than what is ready takes, in paused time.
const SOON: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_lookup_that_hangs_is_waited_for_and_not_started_again() {
    let (asked, answers) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
    let lookup = {
        let (asked, answers) = (asked.clone(), answers.clone());
        Lookup::by("db.internal:5432", move |addr| {
            let turn = asked.fetch_add(1, Ordering::SeqCst);
            let answers = answers.clone();
            assert_eq!(addr, "db.internal:5432");
            async move {
                answers.acquire().await.map_err(io::Error::other)?.forget();
                Ok(vec![([127, 0, 0, 1], 5432 + turn as u16).into()])
            }
        })
    };
    for _ in 0..5 {
        assert!(timeout(SOON, lookup.addrs()).await.is_err());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    answers.add_permits(2);
    assert_eq!(lookup.addrs().await.unwrap(), [([127, 0, 0, 1], 5432).into()]);
    // The next one is asked for anew.
    assert_eq!(lookup.addrs().await.unwrap(), [([127, 0, 0, 1], 5433).into()]);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_address_needs_no_resolver() {
    let lookup = Lookup::by("[::1]:25", |_| pending());
    assert_eq!(lookup.addrs().await.unwrap(), ["[::1]:25".parse().unwrap()]);
    assert_eq!(lookup.addr(), "[::1]:25");
}

#[tokio::test]
async fn a_resolver_that_panics_is_an_error_and_asked_again() {
    let asked = AtomicU32::new(0);
    let lookup = Lookup::by("db.internal:5432", move |_| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            assert!(!first, "on purpose");
            Ok(Vec::new())
        }
    });
    assert!(lookup.addrs().await.is_err());
    assert!(lookup.addrs().await.unwrap().is_empty());
}
