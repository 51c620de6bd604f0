//! One kind of call that is made again and again, whatever it is: to be timed beside others, and to be counted.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::rounds::{calibrate, median, per_call};

/// Why something could not be measured.
pub type Failure = Box<dyn Error>;

/// Makes so many calls, and says how long they took.
pub type Loop = Box<dyn FnMut(u64) -> Duration>;

/// A kind of call, by a name that is unique in its list.
#[derive(Clone, Copy)]
pub struct Call {
    /// As the tables have it, and the command line of who counts.
    pub name: &'static str,
    /// Makes what is called, warmed up.
    pub make: fn() -> Result<Loop, Failure>,
}

/// Makes `call` again and again.
pub fn again<T>(mut call: impl FnMut() -> T + 'static) -> Result<Loop, Failure> {
    Ok(Box::new(move |calls| {
        let begin = Instant::now();
        for _ in 0..calls {
            // Where it lies: taken by value it would be copied, or not, as the compiler pleases.
            black_box(&call());
        }
        begin.elapsed()
    }))
}

/// Makes so many calls of one kind, and nothing else, for callgrind to count.
///
/// # Errors
///
/// There is no such call, or it cannot be made.
pub fn one(calls: &[Call], name: &str, times: u64) -> Result<(), Failure> {
    let call =
        calls.iter().find(|call| call.name == name).ok_or_else(|| format!("there is no call {name:?}"))?;
    (call.make)()?(times);
    Ok(())
}

/// The median time of each, in nanoseconds. Their rounds take turns.
///
/// # Errors
///
/// One of them cannot be made.
pub fn time(calls: &[Call], rounds: usize, round: Duration) -> Result<Vec<f64>, Failure> {
    let mut loops = calls.iter().map(|call| (call.make)()).collect::<Result<Vec<_>, _>>()?;
    let times: Vec<u64> = loops.iter_mut().map(|call| calibrate(round, call)).collect();
    let mut nanos = vec![Vec::with_capacity(rounds); calls.len()];
    for _ in 0..rounds {
        for ((call, times), nanos) in loops.iter_mut().zip(&times).zip(&mut nanos) {
            nanos.push(per_call(call(*times), *times));
        }
    }
    Ok(nanos.iter_mut().map(|nanos| median(nanos)).collect())
}
