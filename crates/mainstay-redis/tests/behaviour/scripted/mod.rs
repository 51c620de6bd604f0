//! A connection that answers by a script, without a server.
#![allow(dead_code, unreachable_pub)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_redis::redis::{self, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};

/// What the connection does with a request.
pub enum Does {
    Answers(RedisResult<Value>),
    /// The values of a pipeline.
    AnswersAll(RedisResult<Vec<Value>>),
    /// Never answers.
    Hangs,
    Panics,
}

type Script = Arc<dyn Fn(&str) -> Does + Send + Sync>;

/// Runs a script over the name of each command ("pipeline" for a pipeline), and counts how often it was asked.
#[derive(Clone)]
pub struct Scripted {
    script: Script,
    pub asked: Arc<AtomicU64>,
}

impl Scripted {
    pub fn new(script: impl Fn(&str) -> Does + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), asked: Arc::default() }
    }

    pub fn answering(value: Value) -> Self {
        Self::new(move |name| match name {
            "pipeline" => Does::AnswersAll(Ok(vec![value.clone()])),
            _ => Does::Answers(Ok(value.clone())),
        })
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn does(&self, name: &str) -> Does {
        self.asked.fetch_add(1, Ordering::Relaxed);
        (self.script)(name)
    }
}

/// A value, or an error of the server, as the driver reads it from the wire.
pub fn wire(line: &str) -> Value {
    redis::parse_redis_value(format!("{line}\r\n").as_bytes()).unwrap()
}

/// The same as the error that a command ends with.
pub fn wire_error(line: &str) -> RedisError {
    wire(line).extract_error().unwrap_err()
}

pub fn refused() -> RedisError {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

fn one(does: Does) -> Option<RedisResult<Value>> {
    match does {
        Does::Answers(result) => Some(result),
        Does::AnswersAll(result) => Some(result.map(Value::Array)),
        Does::Hangs => None,
        Does::Panics => panic!("scripted"),
    }
}

fn all(does: Does) -> Option<RedisResult<Vec<Value>>> {
    match does {
        Does::AnswersAll(result) => Some(result),
        other => one(other).map(|result| result.map(|value| vec![value])),
    }
}

impl redis::aio::ConnectionLike for Scripted {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let does = self.does(&name(cmd));
        Box::pin(async {
            match one(does) {
                Some(result) => result,
                None => std::future::pending().await,
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let does = self.does("pipeline");
        Box::pin(async {
            match all(does) {
                Some(result) => result,
                None => std::future::pending().await,
            }
        })
    }

    fn get_db(&self) -> i64 {
        7
    }
}

/// The same connection, of the blocking kind. It cannot hang.
pub struct BlockingScripted(pub Scripted);

impl redis::ConnectionLike for BlockingScripted {
    fn req_packed_command(&mut self, _: &[u8]) -> RedisResult<Value> {
        one(self.0.does("bytes")).unwrap()
    }

    fn req_packed_commands(&mut self, _: &[u8], _: usize, _: usize) -> RedisResult<Vec<Value>> {
        all(self.0.does("pipeline")).unwrap()
    }

    fn req_command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        one(self.0.does(&name(cmd))).unwrap()
    }

    fn get_db(&self) -> i64 {
        7
    }

    fn supports_pipelining(&self) -> bool {
        false
    }

    fn check_connection(&mut self) -> bool {
        one(self.0.does("check")).unwrap().is_ok()
    }

    fn is_open(&self) -> bool {
        false
    }
}

fn name(cmd: &Cmd) -> String {
    match cmd.args_iter().next() {
        Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    }
}
