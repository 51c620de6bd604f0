//! What a request may be, and how a refusal reads.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

use axum::http::StatusCode;
use stack_openai::{ApiError, ChatMessage, ChatRequest, Role, Usage, tokens};

fn refused(body: &str) -> ApiError {
    ChatRequest::read(body.as_bytes()).expect_err("refused")
}

const HELLO: &str = r#"{"role": "user", "content": "hello"}"#;

#[test]
fn accepts_what_openai_clients_send_and_passes_over_fields_it_does_not_know() {
    let body = r#"{"model": "m", "temperature": 0.5, "max_tokens": 7, "stop": ["a", "b"], "n": 1, "user": "u", "top_p": 0.9, "stream": true,
        "stream_options": {"include_usage": true, "other": 1}, "response_format": {"type": "text"}, "messages": [
        {"role": "developer", "content": "be short"},
        {"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}], "name": "ann"},
        {"role": "assistant", "content": null, "tool_calls": []}]}"#;
    let request = ChatRequest::read(body.as_bytes()).expect("accepted");
    assert_eq!(
        request.messages.iter().map(|message| message.text()).collect::<Vec<_>>(),
        ["be short", "hello", ""]
    );
    assert_eq!(request.stops(), ["a", "b"]);
    assert_eq!(request.most_tokens(), Some(7));
    assert!(request.includes_usage());
}

#[test]
fn names_the_parameter_that_breaks_a_rule() {
    for (field, value, param) in [
        ("n", "2", "n"),
        ("temperature", "2.5", "temperature"),
        ("top_p", "1.5", "top_p"),
        ("max_tokens", "0", "max_tokens"),
        ("max_completion_tokens", "-1", "max_completion_tokens"),
        ("stop", r#"["1", "2", "3", "4", "5"]"#, "stop"),
        ("stop", "7", "stop"),
        ("stream", "\"yes\"", "stream"),
        ("stream_options", "[true]", "stream_options"),
        ("stream_options", "{}", "stream_options"),
    ] {
        let error = refused(&format!(r#"{{"model": "m", "messages": [{HELLO}], "{field}": {value}}}"#));
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        assert_eq!(error.body.error.kind.as_deref(), Some("invalid_request_error"));
        assert_eq!(error.body.error.param.as_deref(), Some(param), "{error}");
    }
    for (messages, param) in [
        ("\"hi\"", "messages"),
        ("[]", "messages"),
        (r#"[{"role": "pirate", "content": "arr"}]"#, "messages[0].role"),
        (r#"[["user", "hi"]]"#, "messages[0]"),
        (r#"[{"role": "user", "content": [["text", "hi"]]}]"#, "messages[0].content[0]"),
        (r#"[{"role": "user"}]"#, "messages[0].content"),
        (r#"[{"role": "user", "content": 7}]"#, "messages[0].content"),
        (r#"[{"role": "user", "content": [{"type": "image_url"}]}]"#, "messages[0].content[0].type"),
    ] {
        let error = refused(&format!(r#"{{"model": "m", "messages": {messages}}}"#));
        assert_eq!(error.body.error.param.as_deref(), Some(param), "{error}");
    }
    assert_eq!(refused(&format!(r#"{{"messages": [{HELLO}]}}"#)).body.error.param.as_deref(), Some("model"));
}

#[test]
fn refuses_what_is_not_an_object_of_json() {
    for body in ["", "{", "[]", "null", "7", "{\"model\": \"m\"} x", &"[".repeat(10_000)] {
        let error = refused(body);
        assert_eq!((error.status, error.body.error.param), (StatusCode::BAD_REQUEST, None), "{body:.20}");
    }
    let error = ChatRequest::read(b"{\"model\": \"\xff\"}").expect_err("refused");
    assert_eq!(error.status, StatusCode::BAD_REQUEST);
}

#[test]
fn quotes_at_most_a_little_of_what_it_refuses() {
    let error = refused(&format!(r#"{{"model": "m", "messages": "{}"}}"#, "ä".repeat(100_000)));
    assert!(error.body.error.message.len() < 2_000);
}

#[test]
fn an_error_has_all_four_fields() {
    let json = serde_json::to_value(ApiError::no_model("x").body).expect("json");
    let fields: Vec<_> = json["error"].as_object().expect("object").keys().cloned().collect();
    assert_eq!(fields, ["code", "message", "param", "type"]);
}

#[test]
fn counts_a_word_as_a_token_and_four_for_a_messages_frame() {
    assert_eq!(tokens(" one  two\nthree "), 3);
    let usage = Usage::of(
        &[ChatMessage::new(Role::System, "be short"), ChatMessage::new(Role::User, "hello")],
        "hello you",
    );
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (11, 2, 13));
}
