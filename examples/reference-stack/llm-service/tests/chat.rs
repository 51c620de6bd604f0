//! OpenAI's API, as clients see it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use stack_openai::{ChatCompletion, FinishReason, tokens};
use support::{Llm, question, read, settings, started, streamed, text};

async fn whole(llm: &Llm, question: &Value) -> ChatCompletion {
    let response = llm.ask(question).await.expect("sent");
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.expect("a completion")
}

/// An error, all of its four fields.
async fn refused(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.expect("json");
    let error = body["error"].as_object().expect("an error").clone();
    assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "message", "param", "type"]);
    (status, body["error"].clone())
}

#[tokio::test]
async fn answers_the_same_to_the_same_and_something_else_to_anything_else() {
    let llm = started().await;
    let first = whole(&llm, &question("why do bridges sway")).await;
    let again = whole(&llm, &question("why do bridges sway")).await;
    assert_eq!(first.text(), again.text());
    assert_ne!(first.id, again.id);
    let mut other = question("why do bridges sway");
    other["messages"] = json!([{"role": "system", "content": "be short"}, other["messages"][0]]);
    assert_ne!(first.text(), whole(&llm, &other).await.text());
    assert_eq!(llm.running.faults().counts().under_way, 0);
}

#[tokio::test]
async fn an_answer_has_every_field_of_openais() {
    let llm = started().await;
    let response = llm.ask(&question("one two three")).await.expect("sent");
    assert!(response.headers()["x-request-id"].to_str().expect("text").starts_with("chatcmpl-"));
    let answer: Value = response.json().await.expect("json");
    assert!(answer["id"].as_str().expect("text").starts_with("chatcmpl-"));
    assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("reference")));
    assert!(answer["created"].as_u64().expect("a time") > 1_700_000_000);
    assert!(answer["system_fingerprint"].as_str().expect("text").starts_with("fp_"));
    let choice = &answer["choices"][0];
    assert_eq!(
        (&choice["index"], &choice["finish_reason"], &choice["logprobs"]),
        (&json!(0), &json!("stop"), &Value::Null)
    );
    assert_eq!(choice["message"]["role"], "assistant");
    let completion = tokens(choice["message"]["content"].as_str().expect("text"));
    let usage = json!({"prompt_tokens": 7, "completion_tokens": completion, "total_tokens": 7 + completion});
    assert_eq!(answer["usage"], usage);
}

#[tokio::test]
async fn an_answer_in_chunks_is_the_same_answer() {
    let llm = started().await;
    let expected = whole(&llm, &question("größe matters 🦀")).await;
    let response = llm.ask(&streamed(question("größe matters 🦀"))).await.expect("sent");
    assert!(response.headers()["content-type"].to_str().expect("text").starts_with("text/event-stream"));
    let (chunks, done) = read(response).await;
    assert!(done);
    assert_eq!(Some(text(&chunks).as_str()), expected.text());
    let (first, last) = (chunks.first().expect("chunks"), chunks.last().expect("chunks"));
    assert_eq!(first.choices[0].delta.role.as_deref(), Some("assistant"));
    assert_eq!(last.finish_reason(), Some(FinishReason::Stop));
    assert!(chunks.iter().all(|chunk| chunk.id == first.id
        && chunk.object == "chat.completion.chunk"
        && chunk.usage.is_none()));
    assert!(chunks.len() > 5);
}

#[tokio::test]
async fn the_usage_comes_last_if_it_is_asked_for() {
    let llm = started().await;
    let mut question = streamed(question("one two three"));
    question["stream_options"] = json!({"include_usage": true});
    let body = llm.ask(&question).await.expect("sent").text().await.expect("text");
    let events: Vec<&str> =
        body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("data")).collect();
    let (done, chunks) = events.split_last().expect("events");
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).expect("json")).collect();
    let (usage, others) = chunks.split_last().expect("chunks");
    assert_eq!((&usage["choices"], &usage["usage"]["prompt_tokens"]), (&json!([]), &json!(7)));
    assert!(others.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
}

#[tokio::test]
async fn an_answer_ends_at_the_most_tokens_or_at_a_stop() {
    let llm = started().await;
    let full = whole(&llm, &question("alpha beta gamma")).await;
    let full = full.text().expect("text");
    for limit in ["max_tokens", "max_completion_tokens"] {
        let mut question = question("alpha beta gamma");
        question[limit] = json!(3);
        let cut = whole(&llm, &question).await;
        assert_eq!(
            (cut.choices[0].finish_reason, cut.usage.expect("usage").completion_tokens),
            (Some(FinishReason::Length), 3)
        );
        assert!(full.starts_with(cut.text().expect("text")));
        let (chunks, done) = read(llm.ask(&streamed(question)).await.expect("sent")).await;
        assert!(done);
        assert_eq!(Some(text(&chunks).as_str()), cut.text());
    }
    let mut question = question("alpha beta gamma");
    question["stop"] = json!(["this is answer", "nowhere in it"]);
    let cut = whole(&llm, &question).await;
    assert_eq!(cut.choices[0].finish_reason, Some(FinishReason::Stop));
    assert_eq!(cut.text(), full.split_once("this is answer").map(|(before, _)| before));
}

#[tokio::test]
async fn models_are_listed_and_one_that_there_is_not_is_not_found() {
    let llm = started().await;
    let get = async |path: &str| llm.client.get(llm.url(path)).send().await.expect("sent");
    let list: Value = get("/v1/models").await.json().await.expect("json");
    assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!("reference")));
    let model: Value = get("/v1/models/reference").await.json().await.expect("json");
    assert_eq!(model, list["data"][0]);
    let (status, error) = refused(get("/v1/models/other").await).await;
    assert_eq!((status, &error["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
    let mut asked = question("hi");
    asked["model"] = json!("other");
    let (status, error) = refused(llm.ask(&asked).await.expect("sent")).await;
    assert_eq!((status, &error["param"]), (StatusCode::NOT_FOUND, &json!("model")));
    assert_eq!(refused(get("/v1/other").await).await.0, StatusCode::NOT_FOUND);
    assert_eq!(refused(get("/v1/chat/completions").await).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_openais_shape() {
    let llm = started().await;
    let post = async |body: Vec<u8>| {
        let request = llm.client.post(llm.url("/v1/chat/completions"));
        refused(request.body(body).send().await.expect("sent")).await
    };
    for body in [&b"{"[..], b"", b"[]", b"\xff\xfe", b"{\"model\": \"reference\"}"] {
        let (status, error) = post(body.to_vec()).await;
        assert_eq!((status, &error["type"]), (StatusCode::BAD_REQUEST, &json!("invalid_request_error")));
    }
    let (status, error) =
        post(br#"{"model": "reference", "n": 2, "messages": [{"role": "user", "content": "hi"}]}"#.to_vec())
            .await;
    assert_eq!((status, &error["param"]), (StatusCode::BAD_REQUEST, &json!("n")));
    let long = serde_json::to_vec(&question(&"x ".repeat(llm_service::MAX_BODY / 2 - 100))).expect("json");
    assert!(long.len() <= llm_service::MAX_BODY);
    let taken =
        llm.client.post(llm.url("/v1/chat/completions")).body(long.clone()).send().await.expect("sent");
    assert_eq!(taken.status(), StatusCode::OK);
    let (status, _) = post([long, vec![b' '; 1024]].concat()).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn only_who_has_the_key_is_answered() {
    let settings = settings(&[("LLM_API_KEY", "sk-correct-horse")]);
    assert!(!format!("{settings:?}").contains("horse"));
    let llm = Llm::over(llm_service::start(settings).await.expect("it starts"));
    let with = async |key: Option<&str>| {
        let mut request = llm.client.post(llm.url("/v1/chat/completions")).json(&question("hi"));
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        request.send().await.expect("sent")
    };
    for key in ["Bearer sk-correct-horse", "bearer sk-correct-horse"] {
        assert_eq!(with(Some(key)).await.status(), StatusCode::OK);
    }
    for key in [
        None,
        Some("Bearer sk-correct-hors"),
        Some("Bearer sk-correct-horse2"),
        Some("Bearer "),
        Some("Basic sk-correct-horse"),
        Some(""),
    ] {
        let response = with(key).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (status, error) = refused(response).await;
        assert_eq!((status, &error["code"]), (StatusCode::UNAUTHORIZED, &json!("invalid_api_key")));
    }
    assert_eq!(llm.running.faults().counts().arrived, 2);
    let health = llm.client.get(llm.url("/health")).send().await.expect("sent");
    assert_eq!(health.status(), StatusCode::OK);
}
