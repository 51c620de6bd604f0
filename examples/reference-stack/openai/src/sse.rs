//! Chunks over the wire and back: `data: {chunk}` lines, and `data: [DONE]` at the end.

use serde::Serialize;

use crate::{ChatChunk, ErrorBody};

/// The end of an answer, as it is sent.
pub const DONE: &str = "data: [DONE]\n\n";

/// The most bytes of one event that a decoder takes.
pub const MAX_EVENT: usize = 1024 * 1024;

/// A chunk, or an error, as it is sent.
///
/// # Errors
///
/// If it cannot be written as JSON; the types of this crate always can.
pub fn encode(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(format!("data: {}\n\n", serde_json::to_string(value)?))
}

/// What comes in an answer's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Streamed {
    /// A piece of the answer.
    Chunk(ChatChunk),
    /// The provider gives up in the middle.
    Error(ErrorBody),
    /// The end. A stream that ends without it was cut.
    Done,
}

/// What is not an answer's stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An event of more than [`MAX_EVENT`] bytes.
    #[error("an event of more than {MAX_EVENT} bytes")]
    TooLong,
    /// An event that is neither a chunk nor an error.
    #[error("an event that is not a chunk, at column {0}")]
    NotAChunk(usize),
}

/// Reads an answer's stream from pieces of bytes, wherever they were cut.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    events: EventDecoder,
    done: bool,
}

impl ChunkDecoder {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// What these bytes complete, in order. Nothing comes after [`Streamed::Done`].
    ///
    /// # Errors
    ///
    /// If it is not an answer's stream; the decoder is of no use afterwards.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Streamed>, DecodeError> {
        let mut streamed = Vec::new();
        if self.done {
            return Ok(streamed);
        }
        for data in self.events.push(bytes)? {
            let item = item(&data)?;
            self.done = item == Streamed::Done;
            streamed.push(item);
            if self.done {
                break;
            }
        }
        Ok(streamed)
    }

    /// Whether the end came. If the bytes end before, the answer was cut.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

fn item(data: &str) -> Result<Streamed, DecodeError> {
    if data.trim() == "[DONE]" {
        return Ok(Streamed::Done);
    }
    let not_a_chunk = |error: serde_json::Error| DecodeError::NotAChunk(error.column());
    let value: serde_json::Value = serde_json::from_str(data).map_err(not_a_chunk)?;
    if value.get("error").is_some_and(|error| !error.is_null()) {
        serde_json::from_value(value).map(Streamed::Error).map_err(not_a_chunk)
    } else {
        serde_json::from_value(value).map(Streamed::Chunk).map_err(not_a_chunk)
    }
}

/// Reads the data of server-sent events, by the rules of the HTML standard: lines end with LF, CR or CRLF, comments and other fields
/// are passed over, an event ends with an empty line.
#[derive(Debug, Default)]
pub struct EventDecoder {
    /// The line that has not ended.
    line: Vec<u8>,
    /// The lines of data of the event that has not ended, each with its LF.
    data: String,
    /// The byte before was a CR: an LF now belongs to it.
    after_cr: bool,
    begun: bool,
}

impl EventDecoder {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// The data of the events that these bytes complete, in order.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLong`]; the decoder is of no use afterwards.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, DecodeError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let lf_of_crlf = std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
            if lf_of_crlf {
                continue;
            }
            if byte == b'\r' || byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                events.extend(self.end_line(&line));
            } else {
                self.line.push(byte);
            }
            if self.line.len() + self.data.len() > MAX_EVENT {
                return Err(DecodeError::TooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &[u8]) -> Option<String> {
        let line = String::from_utf8_lossy(line);
        let line = if std::mem::replace(&mut self.begun, true) {
            &*line
        } else {
            line.trim_start_matches('\u{feff}')
        };
        if line.is_empty() {
            let mut data = std::mem::take(&mut self.data);
            data.pop();
            return (!data.is_empty()).then_some(data);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
            self.data.push('\n');
        }
        None
    }
}
