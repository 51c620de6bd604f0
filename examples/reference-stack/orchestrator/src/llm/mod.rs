//! The language model, and what answers in its place: the second provider, else an earlier answer to the same messages, else a notice.
//!
//! Look at [`Llm::answer`], which is that sentence.

mod earlier;
mod provider;

use axum::http::StatusCode;
use mainstay::breaker::Breaker;
use mainstay::degrade::Behavior;
use mainstay::health::{IntoProbe, Probe, source};
use mainstay_http::health;
use stack_openai::{ChatMessage, ChatRequest, FinishReason, Stop, Usage};
use tracing::warn;

use self::earlier::{Earlier, key};
use self::provider::{BoxError, Fault, Provider, Said};
use crate::settings::{self, Settings};
use crate::task::{Sampling, Task};
use crate::trace::Trace;

/// The answer when there is none.
const NOTICE: &str =
    "The language model cannot be reached at the moment. The task is recorded; please ask again later.";

#[derive(Clone)]
pub(crate) struct Llm {
    model: Provider,
    fallback: Option<Provider>,
    earlier: Earlier,
    check: Probe,
}

/// An answer, and whose it is.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) from: From,
    /// The model that gave it; none if none did.
    pub(crate) model: Option<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) finish_reason: Option<FinishReason>,
    /// Not if it broke off.
    pub(crate) whole: bool,
    /// The providers that did not answer, by the names of their breakers.
    pub(crate) failed: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Model,
    Fallback,
    Cache,
    Notice,
}

/// The request is not for a language model (too long, or wrong): it would say so again, and another one would.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused(pub(crate) StatusCode);

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) task: &'a Task,
    /// Put before the messages. An earlier answer to the same messages is one whatever was found then.
    pub(crate) findings: Option<ChatMessage>,
    pub(crate) messages: Vec<ChatMessage>,
    pub(crate) sampling: &'a Sampling,
    pub(crate) trace: Option<&'a Trace>,
}

impl Llm {
    pub(crate) fn new(settings: &Settings, breaker: Breaker, fallback: Breaker) -> Result<Self, BoxError> {
        let provider = |name, provider: &_, breaker| {
            Provider::new(name, settings::Provider::clone(provider), settings.llm_timeout, breaker)
        };
        let second = settings.llm_fallback.as_ref();
        let second = second.map(|said| provider("llm_fallback", said, fallback)).transpose()?;
        let model = provider("llm_service", &settings.llm, breaker.clone())?;
        let check = match &settings.llm_health {
            Some(url) => health::check_with(model.http.clone(), url)?,
            None => source(breaker).into_probe(),
        };
        Ok(Self { model, fallback: second, earlier: Earlier::new(), check })
    }

    /// Asks the provider whether it is well, where it has somebody to ask; else watches the breaker.
    pub(crate) fn check(&self) -> Probe {
        self.check.clone()
    }

    /// Answers, and tells the text as it comes. `behavior` is what the level says of calls of the language model.
    pub(crate) async fn answer(
        &self,
        question: Question<'_>,
        behavior: Behavior,
        tell: &(impl Fn(&str) + Sync),
    ) -> Result<Answer, Refused> {
        let Question { task, findings, messages, sampling, trace } = question;
        let model = if task.model.is_empty() { &self.model.model } else { &task.model };
        let key = key(&task.user, model, sampling, &messages);
        let messages = findings.into_iter().chain(messages).collect();
        let mut request = chosen_by(sampling, ChatRequest::new(model, messages).streamed());
        let mut failed = Vec::new();

        let providers = [(From::Model, Some(&self.model)), (From::Fallback, self.fallback.as_ref())];
        for (from, provider) in providers {
            let Some(provider) = provider else { continue };
            if from == From::Fallback {
                request.model.clone_from(&provider.model);
            }
            let mut said = Said::default();
            // While it is known to be down nobody waits for it; its breaker and its check find out when it is back.
            let is_down = from == From::Model && !matches!(behavior, Behavior::Proceed | Behavior::Degrade);
            let asked = match is_down {
                false => provider.ask(&request, trace, &mut said, tell).await,
                true => Err(Fault::Down("it is known to be down".to_owned())),
            };
            let why = match asked {
                Ok(()) => {
                    if from == From::Model {
                        self.earlier.put(key, &said);
                    }
                    return Ok(said.from(from, true, failed));
                }
                Err(Fault::Refused(status)) => return Err(Refused(status)),
                Err(Fault::NoModel) => "it does not have the model that it is said to have".to_owned(),
                Err(Fault::Down(why)) => why,
            };
            warn!(provider = provider.name, why, "no answer");
            failed.push(provider.name);
            if !said.text.is_empty() {
                return Ok(said.from(from, false, failed));
            }
        }

        if let Some(said) = self.earlier.get(&key) {
            tell(&said.text);
            return Ok(said.from(From::Cache, true, failed));
        }
        tell(NOTICE);
        let said = Said { text: NOTICE.to_owned(), ..Said::default() };
        Ok(said.from(From::Notice, true, failed))
    }
}

impl Said {
    fn from(self, from: From, whole: bool, failed: Vec<&'static str>) -> Answer {
        let Self { text, model, usage, finish_reason } = self;
        let model = (from != From::Notice).then_some(model);
        Answer { text, from, model, usage, finish_reason, whole, failed }
    }
}

impl From {
    /// As it is said in the answer.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Fallback => "fallback_provider",
            Self::Cache => "cache",
            Self::Notice => "notice",
        }
    }
}

fn chosen_by(sampling: &Sampling, request: ChatRequest) -> ChatRequest {
    let Sampling { max_tokens, max_completion_tokens, temperature, top_p, stop } = sampling.clone();
    let stop = (!stop.is_empty()).then_some(Stop::Any(stop));
    ChatRequest { max_tokens, max_completion_tokens, temperature, top_p, stop, ..request }
}
