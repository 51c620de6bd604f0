use sha2::{Digest, Sha256};
use stack_openai::{ChatRequest, FinishReason, Role, Usage};

/// How an answer may begin.
const OPENINGS: [&str; 4] = [
    "Taken together, this is about",
    "In short, it comes down to",
    "What matters here:",
    "Most of it follows from",
];
/// The most words of the question that an answer takes up.
const MOST_WORDS: usize = 6;
/// The most characters of such a word.
const LONGEST_WORD: usize = 40;

/// What is answered to a request. A hash takes the place of thought: the same is always answered with the same, and anything else in the
/// conversation changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text, cut where the request says.
    pub text: String,
    /// Why it ends.
    pub finish_reason: FinishReason,
    /// What it cost, by [`Usage::of`].
    pub usage: Usage,
    /// Of model and messages, in hex.
    pub digest: String,
}

impl Answer {
    /// The answer to this request.
    pub fn to(request: &ChatRequest) -> Self {
        let digest = digest(request);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = sentence(request, digest, &hex);
        let (text, finish_reason) = cut(&text, request);
        let usage = Usage::of(&request.messages, &text);
        Self { text, finish_reason, usage, digest: hex }
    }

    /// The text in pieces of a word each, with the blank that follows it.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        self.text.split_inclusive(' ')
    }
}

fn digest(request: &ChatRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut take = |text: &str| {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    };
    take(&request.model);
    for message in &request.messages {
        take(message.role.as_str());
        take(&message.text());
    }
    hash.finalize().into()
}

fn sentence(request: &ChatRequest, digest: [u8; 32], hex: &str) -> String {
    let question =
        request.messages.iter().rfind(|message| message.role == Role::User).map(|message| message.text());
    let question = question.unwrap_or_default();
    let words: Vec<&str> = question.split_whitespace().collect();
    let mut numbers = digest
        .chunks_exact(4)
        .map(|bytes| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)));
    let opening = numbers.next().and_then(|number| OPENINGS.get(number % OPENINGS.len())).unwrap_or(&"So:");
    let chosen =
        numbers.take(MOST_WORDS.min(words.len())).filter_map(|number| words.get(number % words.len()));
    let chosen: Vec<String> = chosen.map(|word| word.chars().take(LONGEST_WORD).collect()).collect();
    let about = if chosen.is_empty() { "nothing".to_owned() } else { chosen.join(", ") };
    let mark = hex.get(..8).unwrap_or_default();
    format!("{opening} {about}. Messages read: {}; this is answer {mark}.", request.messages.len())
}

/// To before the first of the texts at which it shall stop, and then to the most tokens: words, as [`stack_openai::tokens`] counts.
fn cut(text: &str, request: &ChatRequest) -> (String, FinishReason) {
    let stop = request.stops().iter().filter_map(|stop| text.find(stop.as_str())).min();
    let text = stop.and_then(|stop| text.get(..stop)).unwrap_or(text);
    let most = request.most_tokens().map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let allowed: String = text.split_inclusive(' ').take(most).collect();
    if allowed.len() < text.len() {
        (allowed.trim_end().to_owned(), FinishReason::Length)
    } else {
        (allowed, FinishReason::Stop)
    }
}
