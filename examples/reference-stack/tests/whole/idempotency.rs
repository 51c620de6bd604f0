//! A key that comes a hundred times at once, to two gateways: it runs once, whoever dies meanwhile.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::stack::{Apart, ask, client, counts, faults, question};
use crate::support::{PATIENCE, token, until};

const MORE: [(&str, &str); 2] = [("IDEMPOTENCY_LEASE", "2s"), ("IDEMPOTENCY_WAIT", "30s")];

/// Sends until it is answered: to the next gateway if one is not there, again if it is told to come later.
async fn insist(client: &Client, gateways: [SocketAddr; 2], number: usize, key: &str) -> Value {
    let asked = async {
        let mut turn = number;
        loop {
            let url = format!("http://{}/v1/chat/completions", gateways[turn % 2]);
            let request = client.post(url).bearer_auth(token("ann", "max")).header("idempotency-key", key);
            turn += 1;
            if let Ok(answer) = request.json(&question("How are the tides?")).send().await {
                let status = answer.status().as_u16();
                match (status, answer.json::<Value>().await) {
                    (200, Ok(answer)) => return answer,
                    // The answer broke off with its gateway.
                    (200, Err(_)) => {}
                    (409 | 503, _) => tokio::time::sleep(Duration::from_millis(200)).await,
                    other => panic!("{other:?}"),
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")
}

/// A hundred at once; `meanwhile` happens while the model thinks.
async fn a_hundred(stack: &mut Apart, key: &'static str, meanwhile: impl FnOnce(&mut Apart)) -> u64 {
    let before = stack.model_calls().await;
    faults(stack.model.admin, &json!({ "delay": "1s" })).await;
    let gateways = [stack.gateways[0].address, stack.gateways[1].address];
    let client = client();
    let sent =
        tokio::spawn(
            async move { join_all((0..100).map(|number| insist(&client, gateways, number, key))).await },
        );
    let model = stack.model.admin;
    until("the model is asked", || async { counts(model).await["arrived"].as_u64() > Some(before) }).await;
    tokio::task::block_in_place(|| meanwhile(stack));
    let answers = sent.await.unwrap();
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer["id"].to_string()).collect();
    let texts: BTreeSet<_> = answers.iter().map(|answer| answer["choices"].to_string()).collect();
    assert_eq!((ids.len(), texts.len()), (1, 1), "{key}: one task and one answer: {ids:?} {texts:?}");
    stack.model_calls().await - before
}

/// How many tasks there are, as soon as the gateway asks the orchestrators again.
async fn tasks(stack: &Apart) -> usize {
    let listed = Mutex::new(Value::Null);
    until("the tasks are listed", || async {
        let asked = ask(Method::GET, stack.gateways[1].address, "/api/v1/tasks?page_size=100").send().await;
        *listed.lock().unwrap() = asked.unwrap().json().await.unwrap();
        listed.lock().unwrap()["tasks"].is_array()
    })
    .await;
    listed.into_inner().unwrap()["tasks"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_a_hundred_times_to_two_gateways_runs_once_whoever_dies() {
    let mut stack = Apart::start(2, 2, &MORE).await;
    assert_eq!(a_hundred(&mut stack, "nobody-dies", |_| {}).await, 1);

    let calls = a_hundred(&mut stack, "a-gateway-dies", |stack| stack.gateways[0].program.kill()).await;
    assert_eq!(calls, 1, "the task went on without its gateway");
    stack.gateways[0].start_again();
    stack.gateways[0].ready().await;

    for (at, key) in ["the-first-orchestrator-dies", "the-second-orchestrator-dies"].into_iter().enumerate() {
        let calls = a_hundred(&mut stack, key, |stack| {
            stack.orchestrators[at].program.kill();
            stack.orchestrators[at].start_again();
        })
        .await;
        assert!((1..=2).contains(&calls), "{calls}: if it was cut off, once more to its end");
    }

    let calls = a_hundred(&mut stack, "both-orchestrators-die", |stack| {
        for orchestrator in &mut stack.orchestrators {
            orchestrator.program.kill();
        }
        for orchestrator in &mut stack.orchestrators {
            orchestrator.start_again();
        }
    })
    .await;
    assert_eq!(calls, 2, "what was cut off, and once more to its end");
    assert_eq!(tasks(&stack).await, 5);
}
