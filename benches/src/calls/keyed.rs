//! Calls through a small keyed set, whose keys are all in the caches. `keys.rs` has the large one.

use mainstay_breaker::{Keyed, Settings, Trip};

use crate::call::{Call, Failure, Loop, again};
use crate::subject::Outcome;
use crate::work::perform;

/// A call through one of a few. Few, because the map's hashes are others in each process, and what it costs to fill it too.
pub const CALLS: [Call; 1] = [Call { name: "keyed, one of 32", make: lookups }];

const KEYS: u64 = 32;

fn lookups() -> Result<Loop, Failure> {
    let settings = Settings::new().trip(Trip::consecutive_failures(5));
    let set = Keyed::<u64>::builder("keys").settings(settings).max_keys(1_000).build()?;
    for key in 0..KEYS {
        drop(set.breaker(&key));
    }
    let mut turn = 0;
    again(move || {
        turn = (turn + 7) % KEYS;
        set.call(&turn, || perform(turn + 1)).answer()
    })
}
