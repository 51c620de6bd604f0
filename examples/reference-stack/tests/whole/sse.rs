//! Server-sent events, read as a client reads them.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Response;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: String,
}

/// The events of a response.
pub struct Events {
    body: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    rest: String,
}

impl Events {
    pub fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200, "{response:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.bytes_stream().map(|piece| piece.map(|bytes| bytes.to_vec())).boxed();
        Self { body, rest: String::new() }
    }

    /// The next one; none at the end.
    ///
    /// # Errors
    ///
    /// If the response breaks off without an end.
    pub async fn next(&mut self) -> reqwest::Result<Option<Event>> {
        loop {
            while let Some((block, rest)) = self.rest.split_once("\n\n") {
                let event = parse(block);
                self.rest = rest.to_owned();
                if event.is_some() {
                    return Ok(event);
                }
            }
            match self.body.next().await {
                Some(piece) => self.rest.push_str(std::str::from_utf8(&piece?).unwrap()),
                None => return Ok(None),
            }
        }
    }
}

/// None for comments, and for blocks without data.
fn parse(block: &str) -> Option<Event> {
    let mut event = Event { id: String::new(), name: String::new(), data: String::new() };
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => id.clone_into(&mut event.id),
            Some(("event", name)) => name.clone_into(&mut event.name),
            Some(("data", data)) => event.data.push_str(data),
            _ => {}
        }
    }
    (!event.data.is_empty()).then_some(event)
}
