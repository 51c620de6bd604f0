//! The tasks that the orchestrators of a test know, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stack_protocol::v1::*;

/// What the orchestrators of a test share, as real ones share a database.
#[derive(Clone, Default)]
pub struct World(pub(super) Arc<Mutex<Known>>);

#[derive(Default)]
pub(super) struct Known {
    pub(super) tasks: BTreeMap<String, Task>,
    /// In the order in which they came.
    pub(super) order: Vec<String>,
    /// How often each id was handed in for the first time.
    pub(super) ran: BTreeMap<String, u32>,
    pub(super) submits: u32,
    pub(super) requests: Vec<SubmitTaskRequest>,
    pub(super) degradation: Option<Degradation>,
    pub(super) fails: bool,
    /// It says neither why it stopped nor what that took.
    pub(super) is_silent: bool,
    pub(super) finish_reason: Option<String>,
    /// Submits wait.
    pub(super) is_stalled: bool,
    pub(super) stalling: u32,
}

impl World {
    /// How many tasks have run.
    pub fn ran(&self) -> u32 {
        self.0.lock().unwrap().ran.values().sum()
    }

    /// How many submits arrived.
    pub fn submits(&self) -> u32 {
        self.0.lock().unwrap().submits
    }

    pub fn last_request(&self) -> SubmitTaskRequest {
        self.0.lock().unwrap().requests.last().unwrap().clone()
    }

    pub fn degrade(&self, degradation: Degradation) {
        self.0.lock().unwrap().degradation = Some(degradation);
    }

    pub fn fail_tasks(&self) {
        self.0.lock().unwrap().fails = true;
    }

    pub fn succeed_again(&self) {
        self.0.lock().unwrap().fails = false;
    }

    /// What the language model says of why it stopped.
    pub fn finish_with(&self, reason: &str) {
        self.0.lock().unwrap().finish_reason = Some(reason.to_owned());
    }

    pub fn say_nothing_of_tokens(&self) {
        self.0.lock().unwrap().is_silent = true;
        self.finish_with("");
    }

    /// Whether a submit waits.
    pub fn is_stalling(&self) -> bool {
        self.0.lock().unwrap().stalling > 0
    }

    /// Submits wait, or go on.
    pub fn stall(&self, is_stalled: bool) {
        self.0.lock().unwrap().is_stalled = is_stalled;
    }

    /// Has the task from now on.
    pub fn submit(&self, request: SubmitTaskRequest) -> Task {
        let mut known = self.0.lock().unwrap();
        known.submits += 1;
        known.requests.push(request.clone());
        if let Some(task) = known.tasks.get(&request.id) {
            return task.clone();
        }
        let words: Vec<_> =
            request.messages.last().map(|message| message.content.clone()).into_iter().collect();
        let task = Task {
            id: request.id.clone(),
            user: request.user,
            session: request.session,
            mode: request.mode,
            ran_as: request.mode,
            status: TaskStatus::Queued.into(),
            model: request.model,
            answer: format!("You said: {}", words.concat()),
            error: if known.fails { "the model said no".to_owned() } else { String::new() },
            degradation: known.degradation.clone(),
            aggregate: String::new(),
            created_ms: 1_700_000_000_000 + i64::from(known.submits),
            updated_ms: 1_700_000_000_000 + i64::from(known.submits),
            usage: (!known.is_silent).then_some(Usage { prompt_tokens: 5, completion_tokens: 3 }),
            finish_reason: known.finish_reason.clone().unwrap_or("stop".to_owned()),
        };
        *known.ran.entry(request.id.clone()).or_default() += 1;
        known.order.push(request.id.clone());
        known.tasks.insert(request.id, task.clone());
        Task {
            answer: String::new(),
            error: String::new(),
            degradation: None,
            usage: None,
            finish_reason: String::new(),
            ..task
        }
    }

    pub(super) fn change(&self, id: &str, change: impl FnOnce(&mut Task)) -> Task {
        let mut known = self.0.lock().unwrap();
        let task = known.tasks.get_mut(id).unwrap();
        change(task);
        task.clone()
    }

    pub(super) fn find(&self, id: &str, user: &str) -> Option<Task> {
        let known = self.0.lock().unwrap();
        known.tasks.get(id).filter(|task| task.user == user).cloned()
    }
}
