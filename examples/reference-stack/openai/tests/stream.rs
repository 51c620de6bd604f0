//! The shapes of answers, and reading them from a stream.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

use serde_json::json;
use stack_openai::sse::{self, ChunkDecoder, DecodeError, EventDecoder, Streamed};
use stack_openai::{ErrorBody, FinishReason, Reply, Usage};

fn reply(include_usage: bool) -> Reply {
    Reply {
        id: "chatcmpl-1".to_owned(),
        created: 7,
        model: "m".to_owned(),
        system_fingerprint: Some("fp_1".to_owned()),
        include_usage,
    }
}

const USAGE: Usage = Usage { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };

#[test]
fn an_answer_has_the_shape_of_openais() {
    let whole = serde_json::to_value(reply(false).whole("hi you", FinishReason::Stop, USAGE)).expect("json");
    assert_eq!(
        whole,
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "m", "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi you", "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        })
    );
}

#[test]
fn a_chunk_has_the_shape_of_openais() {
    let chunk = |choices: serde_json::Value| json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "system_fingerprint": "fp_1", "choices": choices});
    let plain = reply(false);
    for (made, choices) in [
        (
            plain.first(),
            json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": null, "finish_reason": null}]),
        ),
        (
            plain.piece("hi"),
            json!([{"index": 0, "delta": {"content": "hi"}, "logprobs": null, "finish_reason": null}]),
        ),
        (
            plain.last(FinishReason::Length),
            json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": "length"}]),
        ),
    ] {
        assert_eq!(serde_json::to_value(made).expect("json"), chunk(choices));
    }
    assert_eq!(plain.usage(USAGE), None);
    let counting = reply(true);
    assert_eq!(serde_json::to_value(counting.piece("hi")).expect("json")["usage"], json!(null));
    assert!(
        serde_json::to_value(counting.piece("hi"))
            .expect("json")
            .as_object()
            .expect("object")
            .contains_key("usage")
    );
    let last = serde_json::to_value(counting.usage(USAGE)).expect("json");
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(7)));
}

/// An answer as some provider may send it.
fn wire(line_end: &str) -> String {
    let reply = reply(true);
    let chunks = [reply.first(), reply.piece("größ"), reply.piece("e 🦀"), reply.last(FinishReason::Stop)];
    let mut wire = String::from("\u{feff}: hello\n\nevent: message\nid: 1\nretry: 5\n");
    for chunk in chunks.iter().chain(&reply.usage(USAGE)) {
        wire.push_str(&sse::encode(chunk).expect("json"));
        wire.push_str(": keep-alive\n\n");
    }
    wire.push_str(sse::DONE);
    wire.push_str("data: after the end\n\n");
    wire.replace('\n', line_end)
}

fn text(streamed: &[Streamed]) -> String {
    streamed
        .iter()
        .filter_map(|item| if let Streamed::Chunk(chunk) = item { chunk.text() } else { None })
        .collect()
}

#[test]
fn an_answer_is_read_wherever_its_bytes_were_cut_and_however_its_lines_end() {
    for line_end in ["\n", "\r\n", "\r"] {
        let wire = wire(line_end);
        for size in 1..=wire.len() {
            let mut decoder = ChunkDecoder::new();
            let mut streamed = Vec::new();
            for piece in wire.as_bytes().chunks(size) {
                streamed.extend(decoder.push(piece).expect("an answer"));
            }
            assert_eq!(text(&streamed), "größe 🦀");
            assert_eq!((streamed.len(), streamed.last()), (6, Some(&Streamed::Done)));
            assert!(decoder.is_done());
            let Some(Streamed::Chunk(usage)) = streamed.get(4) else { panic!("no usage") };
            assert_eq!(usage.counted(), Some(USAGE));
        }
    }
}

#[test]
fn a_cut_answer_is_not_done() {
    let mut decoder = ChunkDecoder::new();
    let wire = sse::encode(&reply(false).piece("hi")).expect("json");
    assert_eq!(decoder.push(wire.as_bytes()).expect("an answer").len(), 1);
    assert_eq!(decoder.push(b"data: [DONE]\n").expect("an answer"), []);
    assert!(!decoder.is_done());
}

#[test]
fn an_error_in_the_middle_is_told_apart() {
    let mut decoder = ChunkDecoder::new();
    let wire = "data: {\"error\": {\"message\": \"overloaded\", \"type\": null, \"code\": 503}}\n\n";
    let [Streamed::Error(ErrorBody { error })] = &*decoder.push(wire.as_bytes()).expect("an answer") else {
        panic!("no error")
    };
    assert_eq!((error.message.as_str(), error.code.as_deref()), ("overloaded", Some("503")));
}

#[test]
fn what_is_not_an_answer_is_refused_and_an_endless_event_is_not_kept() {
    assert!(matches!(ChunkDecoder::new().push(b"data: <html>\n\n"), Err(DecodeError::NotAChunk(_))));
    let mut decoder = ChunkDecoder::new();
    let error = (0..2_000).find_map(|_| decoder.push(&[b'x'; 1024]).err());
    assert_eq!(error, Some(DecodeError::TooLong));
    let mut decoder = ChunkDecoder::new();
    let error =
        (0..2_000).find_map(|_| decoder.push(format!("data: {}\n", "x".repeat(1024)).as_bytes()).err());
    assert_eq!(error, Some(DecodeError::TooLong));
}

#[test]
fn chunks_of_other_providers_are_read() {
    let mut decoder = ChunkDecoder::new();
    let wire =
        "data:{\"choices\":[{\"delta\":{\"content\":null},\"finish_reason\":\"eos\"}],\"usage\":null}\n\n";
    let [Streamed::Chunk(chunk)] = &*decoder.push(wire.as_bytes()).expect("an answer") else {
        panic!("no chunk")
    };
    assert_eq!((chunk.text(), chunk.finish_reason()), (None, Some(FinishReason::Other)));
}

#[test]
fn lines_of_data_are_joined_and_bytes_that_are_not_text_are_replaced() {
    let events = EventDecoder::new().push(b"data: a\ndata\ndata:  b\xff\n\ndata\n\n").expect("events");
    assert_eq!(events, ["a\n\n b\u{fffd}"]);
}
