use mainstay_breaker::Verdict;
use redis::{RedisError, RedisResult, ServerError, Value};

use crate::rejected;
use crate::verdict::several;

/// How deep errors are looked for in an answer. The driver's parser gives up at 100.
const DEPTH: u32 = 128;

/// What a request brings: one value, or those of a pipeline.
pub(crate) trait Answer {
    fn search<F>(&self, search: &mut Search<'_, F>)
    where
        F: Fn(&RedisError) -> Verdict;
}

/// A search for errors in an answer. The driver gives the errors of a server as values, also within values.
pub(crate) struct Search<'a, F> {
    judge: &'a F,
    worst: Option<Verdict>,
}

/// The verdict on the result of a request.
pub(crate) fn judged<T, F>(result: &RedisResult<T>, judge: &F) -> Verdict
where
    T: Answer,
    F: Fn(&RedisError) -> Verdict,
{
    let mut search = Search { judge, worst: None };
    match result {
        Ok(answer) => answer.search(&mut search),
        // A breaker below this one.
        Err(error) if rejected(error).is_some() => return Verdict::Ignore,
        Err(error) => match several(error) {
            Some(errors) => errors.iter().for_each(|(_, error)| search.error(error)),
            None => search.see(judge(error)),
        },
    }
    search.worst.unwrap_or(Verdict::Success)
}

// === impl Answer ===

impl Answer for Value {
    fn search<F>(&self, search: &mut Search<'_, F>)
    where
        F: Fn(&RedisError) -> Verdict,
    {
        search.value(self, DEPTH);
    }
}

impl Answer for Vec<Value> {
    fn search<F>(&self, search: &mut Search<'_, F>)
    where
        F: Fn(&RedisError) -> Verdict,
    {
        search.values(self, DEPTH);
    }
}

// === impl Search ===

impl<F> Search<'_, F>
where
    F: Fn(&RedisError) -> Verdict,
{
    fn value(&mut self, value: &Value, depth: u32) {
        let Some(deeper) = depth.checked_sub(1) else { return };
        match value {
            Value::ServerError(error) => self.error(error),
            Value::Array(values) | Value::Set(values) | Value::Push { data: values, .. } => {
                self.values(values, deeper);
            }
            Value::Map(pairs) => self.pairs(pairs, deeper),
            Value::Attribute { data, attributes } => {
                self.value(data, deeper);
                self.pairs(attributes, deeper);
            }
            _ => self.see(Verdict::Success),
        }
    }

    fn values(&mut self, values: &[Value], depth: u32) {
        for value in values {
            self.value(value, depth);
            if self.worst == Some(Verdict::Failure) {
                return;
            }
        }
    }

    fn pairs(&mut self, pairs: &[(Value, Value)], depth: u32) {
        for (key, value) in pairs {
            self.value(key, depth);
            self.value(value, depth);
            if self.worst == Some(Verdict::Failure) {
                return;
            }
        }
    }

    fn error(&mut self, error: &ServerError) {
        self.see((self.judge)(&error.clone().into()));
    }

    /// Failure before success before ignore: one answer in good order is proof, one failure is proof of the contrary.
    fn see(&mut self, verdict: Verdict) {
        self.worst = match (self.worst, verdict) {
            (Some(Verdict::Failure), _) | (_, Verdict::Failure) => Some(Verdict::Failure),
            (Some(Verdict::Success), _) | (_, Verdict::Success) => Some(Verdict::Success),
            _ => Some(Verdict::Ignore),
        };
    }
}
