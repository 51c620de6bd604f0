use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::Spool;

const ITEMS: &str = "mainstay_spool_items_total";
const FAILED_TRIES: &str = "mainstay_spool_failed_tries_total";
const FAILED_DELIVERIES: &str = "mainstay_spool_failed_deliveries_total";
const NO_ROOM: &str = "mainstay_spool_dead_letters_full_total";
const FAULTS: &str = "mainstay_spool_store_faults_total";
const BACKLOG: &str = "mainstay_spool_backlog_items";
const DEAD: &str = "mainstay_spool_dead_letters";
const WAITING: &str = "mainstay_spool_waiting_items";
const FILE: &str = "mainstay_spool_file_bytes";

impl<T> Spool<T> {
    /// Says to the recorder of the [`metrics`] crate how things are. Call it before its figures are read, for instance whenever
    /// `/metrics` is asked for.
    ///
    /// | metric | kind | labels |
    /// | --- | --- | --- |
    /// | `mainstay_spool_items_total` | counter | `spool`; `event`: `accepted`, `refused`, `delivered`, `dead_lettered`, `requeued` |
    /// | `mainstay_spool_failed_tries_total` | counter | `spool` |
    /// | `mainstay_spool_failed_deliveries_total` | counter: the sink was unavailable, panicked or took too long | `spool` |
    /// | `mainstay_spool_dead_letters_full_total` | counter: an item died, and there was no room for it | `spool` |
    /// | `mainstay_spool_store_faults_total` | counter | `spool` |
    /// | `mainstay_spool_backlog_items` | gauge: not delivered yet | `spool` |
    /// | `mainstay_spool_dead_letters` | gauge | `spool` |
    /// | `mainstay_spool_waiting_items` | gauge: they failed, and wait for their next try | `spool` |
    /// | `mainstay_spool_file_bytes` | gauge: in use | `spool`; `file`: `items`, `dead_letters` |
    pub fn publish(&self) {
        describe();
        let (stats, spool) = (self.stats(), self.name().to_owned());
        let events = [
            ("accepted", stats.accepted),
            ("refused", stats.refused),
            ("delivered", stats.delivered),
            ("dead_lettered", stats.dead_lettered),
            ("requeued", stats.requeued),
        ];
        for (event, count) in events {
            counter!(ITEMS, "spool" => spool.clone(), "event" => event).absolute(count);
        }
        let counts = [
            (FAILED_TRIES, stats.failed_tries),
            (FAILED_DELIVERIES, stats.failed_deliveries),
            (NO_ROOM, stats.dead_letters_full),
            (FAULTS, stats.store_faults),
        ];
        for (name, count) in counts {
            counter!(name, "spool" => spool.clone()).absolute(count);
        }
        for (name, level) in [(BACKLOG, stats.backlog), (DEAD, stats.dead_letters), (WAITING, stats.waiting)]
        {
            gauge!(name, "spool" => spool.clone()).set(level as f64);
        }
        for (file, bytes) in [("items", stats.used_bytes), ("dead_letters", stats.dead_bytes)] {
            gauge!(FILE, "spool" => spool.clone(), "file" => file).set(bytes as f64);
        }
    }
}

fn describe() {
    describe_counter!(ITEMS, "What became of items");
    describe_counter!(FAILED_TRIES, "Tries of items that failed, and counted");
    describe_counter!(FAILED_DELIVERIES, "Deliveries that said nothing about their items");
    describe_counter!(NO_ROOM, "How often an item died while there was no room for dead letters");
    describe_counter!(FAULTS, "Writes of the store that failed, pushes not included");
    describe_gauge!(BACKLOG, "Items that are not delivered yet");
    describe_gauge!(DEAD, "Items that could not be delivered");
    describe_gauge!(WAITING, "Items that failed, and wait for their next try");
    describe_gauge!(FILE, Unit::Bytes, "Bytes of the file that are in use");
}
