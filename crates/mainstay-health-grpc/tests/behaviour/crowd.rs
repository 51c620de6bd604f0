//! Very many who watch, and very many changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::served::{NotServing, Serving, channel, next, ready, serve, soon, watch};
use mainstay_health::HealthManager;
use mainstay_health_grpc::HealthGrpc;
use mainstay_health_grpc::pb::HealthCheckRequest;
use mainstay_health_grpc::pb::health_client::HealthClient as OurClient;
use tokio::sync;
use tonic_health::pb::health_client::HealthClient;

const WATCHERS: usize = 1000;
const FLIPS: usize = 1000;
const PER_CONNECTION: usize = 100;

fn flip(health: &HealthManager, number: usize) {
    match number % 2 {
        0 => health.begin_maintenance("moving house"),
        _ => health.end_maintenance(),
    }
}

#[tokio::test]
async fn all_of_a_thousand_watchers_end_with_the_latest_of_a_thousand_changes() {
    let (health, ..) = ready().await;
    let (addr, _) = serve(HealthGrpc::new(&health)).await;
    let mut latest = Vec::new();
    for _ in 0..WATCHERS / PER_CONNECTION {
        let mut client = HealthClient::new(channel(addr));
        for _ in 0..PER_CONNECTION {
            let mut stream = watch(&mut client, "").await;
            let (tell, told) = sync::watch::channel(next(&mut stream).await.unwrap());
            assert_eq!(*told.borrow(), Serving);
            latest.push(told);
            tokio::spawn(async move {
                while let Ok(Some(answer)) = stream.message().await {
                    tell.send_replace(answer.status());
                }
            });
        }
    }
    for number in 0..FLIPS {
        flip(&health, number);
        if number % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    health.begin_maintenance("for good");
    for told in &mut latest {
        soon(told.wait_for(|status| *status == NotServing)).await.unwrap();
    }
    health.end_maintenance();
    for told in &mut latest {
        soon(told.wait_for(|status| *status == Serving)).await.unwrap();
    }
}

#[test]
fn those_who_do_not_read_are_kept_no_changes_for() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (health, mut streams) = runtime.block_on(async {
        let (health, ..) = ready().await;
        let mut client = OurClient::new(HealthGrpc::new(&health));
        let mut streams = Vec::new();
        for _ in 0..WATCHERS {
            let request = HealthCheckRequest { service: String::new() };
            let mut stream = client.watch(request).await.unwrap().into_inner();
            assert_eq!(stream.message().await.unwrap().unwrap().status().as_str_name(), "SERVING");
            streams.push(stream);
        }
        (health, streams)
    });
    let kept = allocation_counter::measure(|| (0..FLIPS).for_each(|number| flip(&health, number)));
    assert!(kept.bytes_current < 4096, "{kept:?}");

    runtime.block_on(async {
        health.begin_maintenance("for good");
        for stream in &mut streams {
            assert_eq!(stream.message().await.unwrap().unwrap().status().as_str_name(), "NOT_SERVING");
        }
        health.end_maintenance();
        for stream in &mut streams {
            assert_eq!(stream.message().await.unwrap().unwrap().status().as_str_name(), "SERVING");
        }
    });
}
