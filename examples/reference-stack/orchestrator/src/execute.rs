//! How a task is done: by one call of the language model (simple), with an agent before it (standard), or with five (complex).
//!
//! Look at [`Executor::decide`], which turns the level into a mode, and at [`Executor::run`], which goes on whatever is missing and
//! says so.

use std::sync::Arc;

use mainstay::Mainstay;
use mainstay::degrade::{Assessment, Behavior, ExecutionMode, Gather, Part, PartValue};
use stack_openai::{ChatMessage, FinishReason, Role, Usage};
use tracing::error;

use crate::agents::{AGENTS, Agents, Failed};
use crate::live::LiveTask;
use crate::llm::{From, Llm, Question, Refused};
use crate::session::Sessions;
use crate::shortfall::Shortfall;
use crate::task::{Decided, Degradation, Event, INVALID_REQUEST, Task, Work};
use crate::trace::Trace;

/// The longest input of an agent, in bytes.
const LONGEST_INPUT: usize = 64 * 1024;

#[derive(Clone)]
pub(crate) struct Executor {
    pub(crate) mainstay: Mainstay,
    pub(crate) agents: Agents,
    pub(crate) llm: Llm,
    pub(crate) sessions: Sessions,
}

/// What came of a task.
pub(crate) struct Done {
    /// The answer, or why there is none.
    pub(crate) answer: Result<String, String>,
    /// The model that answered, if one did.
    pub(crate) model: Option<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) finish_reason: String,
    pub(crate) degradation: Option<Degradation>,
    pub(crate) aggregate: String,
}

/// What the agents' part of a task needs to know.
struct Step<'a> {
    live: &'a LiveTask,
    task: &'a Task,
    work: &'a Work,
    mode: ExecutionMode,
    assessment: &'a Assessment,
    trace: Option<&'a Trace>,
}

/// What the agents found, as far as it is enough.
#[derive(Default)]
struct Found {
    outputs: Vec<(String, String)>,
    aggregate: String,
}

impl Executor {
    /// The mode that is granted. The same assessment, whose number is kept with the task, grants the same.
    pub(crate) fn decide(&self, asked: ExecutionMode) -> (Arc<Assessment>, Decided) {
        let degradation = self.mainstay.degradation();
        let assessment = degradation.assessment();
        let decision = degradation.mode_by(&assessment, asked);
        let mut mode = decision.granted;
        let mut reason = decision.reason();
        let workflow = degradation.behavior_by(&assessment, "complex_workflow");
        if mode == ExecutionMode::Complex && workflow.behavior != Behavior::Proceed {
            mode = ExecutionMode::Standard;
            reason = workflow.reason.as_ref().map(|why| why.reason());
        }
        let decided = Decided {
            mode,
            level: assessment.level.to_string(),
            assessment: assessment.epoch,
            reason: reason.map(|reason| reason.as_str().to_owned()),
        };
        (assessment, decided)
    }

    /// Does it. Nothing that is missing stops it but the language model's own refusal.
    pub(crate) async fn run(
        &self,
        live: &LiveTask,
        task: &Task,
        work: &Work,
        decided: &Decided,
        assessment: &Assessment,
    ) -> Done {
        let trace = Trace::of(work);
        let mut less = Shortfall::of(task.mode, decided);
        let degradation = self.mainstay.degradation();
        if assessment.is_down("database") {
            // `task_persistence` proceeds: what is to be kept waits in the spool.
            less.failed("database");
        }

        let history = self.history(task, &mut less).await;
        let step = Step { live, task, work, mode: decided.mode, assessment, trace: trace.as_ref() };
        let found = self.agents(&step, &mut less).await;

        let mut messages = history;
        messages.extend(work.messages.iter().cloned());
        let behavior = degradation.behavior_by(assessment, "llm_call");
        let tell = |text: &str| live.tell(Event::Text(text.to_owned()));
        let (sampling, trace) = (&work.sampling, trace.as_ref());
        let question = Question { task, findings: found.as_message(), messages, sampling, trace };
        let answer = match self.llm.answer(question, behavior.behavior, &tell).await {
            Ok(answer) => answer,
            Err(Refused(status)) => {
                let failed = Done::failed(&format!("the language model refused the request: {status}"));
                let (finish_reason, aggregate) = (INVALID_REQUEST.to_owned(), found.aggregate);
                return Done { finish_reason, degradation: less.finish(), aggregate, ..failed };
            }
        };
        less.part(answer.whole && answer.from != From::Notice);
        less.answered_from(answer.from.as_str());
        for provider in answer.failed {
            less.failed(provider);
        }
        if answer.from != From::Notice {
            self.remember(task, work, &answer.text, &mut less).await;
        }
        Done {
            answer: Ok(answer.text),
            model: answer.model,
            usage: answer.usage,
            finish_reason: answer.finish_reason.map_or("", FinishReason::as_str).to_owned(),
            degradation: less.finish(),
            aggregate: found.aggregate,
        }
    }

    async fn history(&self, task: &Task, less: &mut Shortfall) -> Vec<ChatMessage> {
        if task.session.is_empty() {
            return Vec::new();
        }
        let history = self.sessions.history(&task.user, &task.session).await;
        history.unwrap_or_else(|_| {
            less.failed("redis");
            Vec::new()
        })
    }

    /// What was asked and answered becomes part of the session.
    async fn remember(&self, task: &Task, work: &Work, answer: &str, less: &mut Shortfall) {
        let degradation = self.mainstay.degradation();
        if task.session.is_empty() || !degradation.behavior("session_update").behavior.is_allowed() {
            return;
        }
        let asked = work.messages.iter().filter(|message| message.role != Role::System).cloned();
        let said: Vec<_> = asked.chain([ChatMessage::new(Role::Assistant, answer)]).collect();
        if self.sessions.append(&task.user, &task.session, task.id, &said).await.is_err() {
            less.failed("redis");
        }
    }

    /// Asks the agents of a mode side by side, and decides whether those that answer are enough.
    async fn agents(&self, step: &Step<'_>, less: &mut Shortfall) -> Found {
        let Step { live, task, mode, assessment, trace, .. } = *step;
        let (workflow, agents) = match mode {
            ExecutionMode::Simple => return Found::default(),
            ExecutionMode::Standard => ("standard", AGENTS.get(..1).unwrap_or_default()),
            ExecutionMode::Complex => ("agent_dag", AGENTS.as_slice()),
        };
        let degradation = self.mainstay.degradation();
        let behavior = degradation.behavior_by(assessment, "agent_execution");
        if behavior.behavior != Behavior::Proceed {
            less.failed("agent_core");
            if let Some(why) = &behavior.reason {
                less.because(why.reason());
            }
            agents.iter().for_each(|_| less.part(false));
            return Found::default();
        }

        let input = input(step.work);
        let mut gather = Gather::new(degradation.partial_by(assessment, workflow));
        if let Some(settings) = self.mainstay.settings() {
            let said = &settings.degradation;
            gather = gather.part_deadline(said.timeout_override).max_wait(said.max_wait_time);
            gather = said.after_quorum.into_iter().fold(gather, Gather::after_quorum);
        }
        for agent in agents {
            let input = input.as_str();
            let part = async move {
                let reply = self.agents.execute(agent, task.id, input, trace).await;
                let (success, text) = match &reply {
                    Ok(reply) => (true, reply.output.clone()),
                    Err(failed) => (false, failed.0.to_owned()),
                };
                live.tell(Event::Part { source: (*agent).to_owned(), success, text });
                reply.map(|reply| PartValue::new(reply.output).confidence(reply.confidence))
            };
            gather = gather.with(Part::rated(*agent, part));
        }
        let gathered = match gather.run().await {
            Ok(gathered) => gathered,
            Err(error) => {
                error!(%error, "the agents were not asked");
                less.failed("agent_core");
                return Found::default();
            }
        };
        for part in &gathered.parts {
            less.part(part.is_success());
            if !part.is_success() {
                less.failed("agent_core");
            }
            // Those that were cut off could not tell.
            if !part.is_success() && part.error.is_none() {
                let (source, text) = (part.source.clone(), part.outcome.as_words().to_owned());
                live.tell(Event::Part { source, success: false, text });
            }
        }
        let owned = |(source, output): (&str, &String)| (source.to_owned(), output.clone());
        let outputs = match gathered.accepted() {
            true => gathered.values().map(owned).collect(),
            false => Vec::new(),
        };
        let combine = |values: &[(&str, &String)]| {
            values.iter().map(|(source, output)| format!("{source}: {output}")).collect::<Vec<_>>().join("\n")
        };
        let aggregate = gathered.aggregate_with(combine, |failed: &Failed| failed.0.to_owned());
        Found { outputs, aggregate: serde_json::to_string(&aggregate).unwrap_or_default() }
    }
}

impl Done {
    pub(crate) fn failed(why: &str) -> Self {
        Self {
            answer: Err(why.to_owned()),
            model: None,
            usage: None,
            finish_reason: String::new(),
            degradation: None,
            aggregate: String::new(),
        }
    }
}

impl Found {
    /// As the language model is told it.
    fn as_message(&self) -> Option<ChatMessage> {
        if self.outputs.is_empty() {
            return None;
        }
        let findings = self.outputs.iter().map(|(source, output)| format!("{source}: {output}"));
        let findings = findings.collect::<Vec<_>>().join("\n");
        Some(ChatMessage::new(Role::System, format!("What the agents found:\n{findings}")))
    }
}

/// What the agents are asked: what the user said last.
fn input(work: &Work) -> String {
    let asked = work.messages.iter().rev().find(|message| message.role == Role::User);
    let text = asked.or(work.messages.last()).map(|message| message.text().into_owned()).unwrap_or_default();
    let end = (0..=LONGEST_INPUT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}
