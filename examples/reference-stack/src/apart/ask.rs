use std::time::Duration;

use anyhow::Context;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

/// The largest answer that is read.
const LARGEST: usize = 16 * 1024 * 1024;

/// A user of the stack, with connections of his own. What is lost with a connection is not sent again.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    client: Client<HttpConnector, Body>,
    token: Option<HeaderValue>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// From the question until the answer's head was there.
    pub(crate) began_after: Duration,
    /// Why it broke off, if it did. Then there is no body.
    pub(crate) cut: Option<String>,
}

// === impl Asker ===

impl Asker {
    /// Without a token, for admin ports.
    pub(crate) fn new() -> Self {
        let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Self { client, token: None }
    }

    /// With a user's token.
    pub(crate) fn with_token(token: &str) -> anyhow::Result<Self> {
        let token =
            HeaderValue::from_str(&format!("Bearer {token}")).context("a token of visible letters")?;
        Ok(Self { token: Some(token), ..Self::new() })
    }

    /// Asks, and reads the answer to its end, within a time. What has begun by then is cut there.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &str,
        more: &[(&'static str, &str)],
        json: Option<&Value>,
        within: Duration,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let body = match json {
            Some(json) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(json.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body)?;
        let asked = Instant::now();
        let answered = timeout_at(asked + within, self.client.request(request)).await;
        let (head, body) = answered.context("no answer in time")??.into_parts();
        let began_after = asked.elapsed();
        let (body, cut) = match timeout_at(asked + within, Limited::new(body, LARGEST).collect()).await {
            Ok(Ok(body)) => (body.to_bytes(), None),
            Ok(Err(error)) => (Bytes::new(), Some(error.to_string())),
            Err(_) => (Bytes::new(), Some("no end in time".to_owned())),
        };
        Ok(Answer { status: head.status, headers: head.headers, body, began_after, cut })
    }

    /// The text of what is there, if the answer is a good one.
    pub(crate) async fn text(&self, url: &str, within: Duration) -> anyhow::Result<String> {
        let answer = self.ask(Method::GET, url, &[], None, within).await?;
        anyhow::ensure!(answer.status.is_success(), "{url} answers {}", answer.status);
        anyhow::ensure!(answer.cut.is_none(), "the answer of {url} broke off");
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}
