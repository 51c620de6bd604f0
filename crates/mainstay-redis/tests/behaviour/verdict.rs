//! What each error and each answer says about Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io;

use crate::scripted::{Does, Scripted, wire, wire_error};
use mainstay_breaker::{Breaker, Control};
use mainstay_redis::redis::{self, ErrorKind, RedisError, Value, make_extension_error};
use mainstay_redis::{Guarded, Verdict, verdict};
use proptest::prelude::*;

const FAILURE: Verdict = Verdict::Failure;
const SUCCESS: Verdict = Verdict::Success;
const IGNORE: Verdict = Verdict::Ignore;

/// Errors as servers send them.
const SERVER: &[(&str, Verdict)] = &[
    ("-LOADING Redis is loading the dataset in memory", FAILURE),
    ("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", FAILURE),
    ("-CLUSTERDOWN The cluster is down", FAILURE),
    ("-CLUSTERDOWN Hash slot not served", FAILURE),
    ("-TRYAGAIN Multiple keys request during rehashing of slot", FAILURE),
    ("-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", FAILURE),
    ("-OOM command not allowed when used memory > 'maxmemory'.", FAILURE),
    ("-OOM command not allowed when used memory > 'maxmemory'. script: 9f, on @user_script:1.", FAILURE),
    ("-READONLY You can't write against a read only replica.", FAILURE),
    ("-MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.", FAILURE),
    ("-NOREPLICAS Not enough good replicas to write.", FAILURE),
    ("-ERR max number of clients reached", FAILURE),
    ("-ERR max number of clients + cluster connections reached", FAILURE),
    ("-EXECABORT Transaction discarded because of: OOM command not allowed when used memory", FAILURE),
    ("-EXECABORT Transaction discarded because of: BUSY", FAILURE),
    ("-EXECABORT Transaction discarded because of: NOPERM no", SUCCESS),
    ("-EXECABORT Transaction discarded because of: EXECABORT because of: OOM", SUCCESS),
    ("-EXECABORT Transaction discarded because of previous errors.", SUCCESS),
    ("-EXECABORT", SUCCESS),
    ("-LOADING", FAILURE),
    ("-BUSY", FAILURE),
    ("-OOM", FAILURE),
    ("-ERR", SUCCESS),
    ("-ERR unknown command 'NOSUCH', with args beginning with:", SUCCESS),
    ("-ERR wrong number of arguments for 'get' command", SUCCESS),
    ("-ERR value is not an integer or out of range", SUCCESS),
    ("-ERR OOM is only mentioned", SUCCESS),
    ("-WRONGTYPE Operation against a key holding the wrong kind of value", SUCCESS),
    ("-NOSCRIPT No matching script. Please use EVAL.", SUCCESS),
    ("-NOAUTH Authentication required.", SUCCESS),
    ("-WRONGPASS invalid username-password pair or user is disabled.", SUCCESS),
    ("-NOPERM this user has no permissions to run the 'get' command", SUCCESS),
    ("-DENIED Redis is running in protected mode", SUCCESS),
    ("-NOPROTO unsupported protocol version", SUCCESS),
    ("-NOSUB", SUCCESS),
    ("-MOVED 3999 127.0.0.1:6381", SUCCESS),
    ("-ASK 3999 127.0.0.1:6381", SUCCESS),
    ("-CROSSSLOT Keys in request don't hash to the same slot", SUCCESS),
    ("-BUSYGROUP Consumer Group name already exists", SUCCESS),
    ("-BUSYKEY Target key name already exists.", SUCCESS),
    ("-NOGROUP No such key 's' or consumer group 'g'", SUCCESS),
    ("-NOTBUSY No scripts in execution right now.", SUCCESS),
    ("-UNKILLABLE Sorry the script already executed write commands", SUCCESS),
    ("-UNBLOCKED client unblocked via CLIENT UNBLOCK", SUCCESS),
    ("-loading codes are in capitals", SUCCESS),
    ("-MYOWN a script's own code", SUCCESS),
    ("-", SUCCESS),
];

#[test]
fn every_code_has_its_verdict() {
    for (line, expected) in SERVER {
        assert_eq!(verdict(&wire_error(line)), *expected, "{line}");
    }
}

#[test]
fn an_extension_error_made_by_hand_is_judged_by_its_code() {
    let error = |code: &str| make_extension_error(code.into(), Some("detail".into()));
    assert_eq!(verdict(&error("OOM")), FAILURE);
    assert_eq!(verdict(&error("LOADING")), FAILURE);
    assert_eq!(verdict(&error("WRONGTYPE")), SUCCESS);
    assert_eq!(verdict(&make_extension_error("BUSY".into(), None)), FAILURE);
}

#[test]
fn everything_that_goes_wrong_on_the_way_is_a_failure() {
    use io::ErrorKind::*;
    for kind in [
        ConnectionRefused,
        ConnectionReset,
        ConnectionAborted,
        NotConnected,
        BrokenPipe,
        UnexpectedEof,
        TimedOut,
        WouldBlock,
        NotFound,
        PermissionDenied,
        InvalidData,
        HostUnreachable,
        Other,
    ] {
        assert_eq!(verdict(&io::Error::from(kind).into()), FAILURE, "{kind}");
        assert_eq!(verdict(&io::Error::new(kind, "with words").into()), FAILURE, "{kind}");
    }
}

#[test]
fn every_kind_of_the_drivers_own_errors_has_its_verdict() {
    let verdict = |kind: ErrorKind| verdict(&RedisError::from((kind, "words")));
    assert_eq!(verdict(ErrorKind::Io), FAILURE);
    assert_eq!(verdict(ErrorKind::Parse), FAILURE);
    assert_eq!(verdict(ErrorKind::ClusterConnectionNotFound), FAILURE);
    assert_eq!(verdict(ErrorKind::MasterNameNotFoundBySentinel), FAILURE);
    assert_eq!(verdict(ErrorKind::NoValidReplicasFoundBySentinel), FAILURE);
    assert_eq!(verdict(ErrorKind::InvalidClientConfig), IGNORE);
    assert_eq!(verdict(ErrorKind::Client), IGNORE);
    assert_eq!(verdict(ErrorKind::UnexpectedReturnType), IGNORE);
    assert_eq!(verdict(ErrorKind::AuthenticationFailed), IGNORE);
    assert_eq!(verdict(ErrorKind::EmptySentinelList), IGNORE);
    assert_eq!(verdict(ErrorKind::RESP3NotSupported), IGNORE);
    assert_eq!(verdict(ErrorKind::Extension), SUCCESS);
    assert_eq!(verdict(redis::ServerErrorKind::BusyLoading.into()), FAILURE);
    assert_eq!(verdict(redis::ServerErrorKind::NoScript.into()), SUCCESS);
    // Two slots: the driver did not ask.
    assert_eq!(verdict(redis::ServerErrorKind::CrossSlot.into()), IGNORE);
}

/// What a guard counts for an answer to a command.
fn counted(value: Value) -> Verdict {
    counted_for(Scripted::answering(value), |_| verdict)
}

/// What a guard counts for one command on this connection.
fn counted_for<F>(connection: Scripted, judge: impl FnOnce(()) -> F) -> Verdict
where
    F: Fn(&RedisError) -> Verdict + Sync,
{
    let breaker = Breaker::new("redis").unwrap();
    let mut guarded = Guarded::new(connection, breaker.clone()).deadline(None).classify(judge(()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _ = runtime.block_on(async {
        redis::aio::ConnectionLike::req_packed_command(&mut guarded, &redis::cmd("GET")).await
    });
    let totals = breaker.snapshot().totals;
    match (totals.success, totals.failure, totals.ignored) {
        (1, 0, 0) => SUCCESS,
        (0, 1, 0) => FAILURE,
        (0, 0, 1) => IGNORE,
        other => panic!("counted once, please: {other:?}"),
    }
}

#[test]
fn answers_without_errors_are_successes_nil_among_them() {
    for value in ["$-1", "*-1", "_", "+OK", ":0", "$0\r\n", "*0", "%0", "~0", "#f", ",nan", "*1\r\n*0"] {
        assert_eq!(counted(wire(value)), SUCCESS, "{value:?}");
    }
}

#[test]
fn an_error_is_found_wherever_an_answer_can_hold_one() {
    let oom = "-OOM full";
    for value in [
        oom.to_string(),
        format!("*1\r\n{oom}"),
        format!("*3\r\n+OK\r\n$-1\r\n{oom}"),
        format!("*3\r\n{oom}\r\n+OK\r\n+OK"),
        format!("*2\r\n-WRONGTYPE not this\r\n{oom}"),
        format!("*1\r\n*1\r\n*1\r\n*1\r\n{oom}"),
        format!("~2\r\n:1\r\n{oom}"),
        format!("%1\r\n+node\r\n{oom}"),
        format!("%1\r\n{oom}\r\n+node"),
        format!("%2\r\n+a\r\n*1\r\n{oom}\r\n+b\r\n+OK"),
        format!("|1\r\n+key\r\n{oom}\r\n+data"),
        format!("|1\r\n+key\r\n+value\r\n{oom}"),
        format!(">2\r\n+subscribe\r\n{oom}"),
    ] {
        assert_eq!(counted(wire(&value)), FAILURE, "{value:?}");
    }
}

#[test]
fn a_callers_mistake_among_answers_proves_that_the_server_works() {
    for value in
        ["-WRONGTYPE no", "*1\r\n-WRONGTYPE no", "*2\r\n+OK\r\n-NOSCRIPT no", "%1\r\n+a\r\n-NOPERM no"]
    {
        assert_eq!(counted(wire(value)), SUCCESS, "{value:?}");
    }
}

#[test]
fn the_worst_answer_counts() {
    let judge = |error: &RedisError| match error.code() {
        Some("SKIP") => IGNORE,
        _ => verdict(error),
    };
    for (value, expected) in [
        ("-SKIP it", IGNORE),
        ("*2\r\n-SKIP it\r\n-SKIP it", IGNORE),
        ("*2\r\n-SKIP it\r\n+OK", SUCCESS),
        ("*2\r\n+OK\r\n-SKIP it", SUCCESS),
        ("*3\r\n+OK\r\n-SKIP it\r\n-OOM full", FAILURE),
        ("*2\r\n-OOM full\r\n-SKIP it", FAILURE),
    ] {
        assert_eq!(counted_for(Scripted::answering(wire(value)), |()| judge), expected, "{value:?}");
    }
}

#[tokio::test]
async fn a_pipeline_counts_once_by_its_worst_answer() {
    for (answers, expected) in [
        (vec!["+OK", "$-1"], SUCCESS),
        (vec![], SUCCESS),
        (vec!["+OK", "-WRONGTYPE no"], SUCCESS),
        (vec!["+OK", "-WRONGTYPE no", "-OOM full", "+OK"], FAILURE),
        (vec!["*2\r\n+OK\r\n-READONLY no"], FAILURE),
    ] {
        let values: Vec<_> = answers.iter().map(|answer| wire(answer)).collect();
        let connection = Scripted::new(move |_| Does::AnswersAll(Ok(values.clone())));
        let breaker = Breaker::new("redis").unwrap();
        let mut guarded = Guarded::new(connection, breaker.clone());
        let _ = redis::pipe().get("a").get("b").query_async::<Value>(&mut guarded).await;
        let totals = breaker.snapshot().totals;
        let expected = (u64::from(expected == SUCCESS), u64::from(expected == FAILURE), 0);
        assert_eq!((totals.success, totals.failure, totals.ignored), expected, "{answers:?}");
    }
}

/// The error of a pipeline, as the driver makes it of such answers.
fn pipeline_error(answers: &[&str]) -> RedisError {
    let values: Vec<_> = answers.iter().map(|answer| wire(answer)).collect();
    let mut connection =
        crate::scripted::BlockingScripted(Scripted::new(move |_| Does::AnswersAll(Ok(values.clone()))));
    let mut pipe = redis::pipe();
    answers.iter().for_each(|_| {
        pipe.cmd("GET");
    });
    // The scripted connection says that it cannot do pipelines; a guard would ask it.
    struct Able<'a>(&'a mut crate::scripted::BlockingScripted);
    impl redis::ConnectionLike for Able<'_> {
        fn req_packed_command(&mut self, cmd: &[u8]) -> redis::RedisResult<Value> {
            self.0.req_packed_command(cmd)
        }
        fn req_packed_commands(
            &mut self,
            cmd: &[u8],
            offset: usize,
            count: usize,
        ) -> redis::RedisResult<Vec<Value>> {
            self.0.req_packed_commands(cmd, offset, count)
        }
        fn get_db(&self) -> i64 {
            0
        }
        fn check_connection(&mut self) -> bool {
            true
        }
        fn is_open(&self) -> bool {
            true
        }
    }
    pipe.query::<Value>(&mut Able(&mut connection)).unwrap_err()
}

#[test]
fn the_error_of_a_pipeline_is_judged_by_all_that_it_stands_for() {
    assert_eq!(verdict(&pipeline_error(&["-WRONGTYPE no", "-OOM full"])), FAILURE);
    assert_eq!(verdict(&pipeline_error(&["-OOM full", "-WRONGTYPE no"])), FAILURE);
    assert_eq!(verdict(&pipeline_error(&["-WRONGTYPE no", "-NOSCRIPT no"])), SUCCESS);
}

#[test]
fn a_judge_of_ones_own_sees_each_error_that_a_pipelines_error_stands_for() {
    let error = pipeline_error(&["-WRONGTYPE no", "-NOAUTH no"]);
    let connection = Scripted::new(move |_| Does::Answers(Err(error.clone())));
    let judge = |error: &RedisError| if error.code() == Some("NOAUTH") { FAILURE } else { IGNORE };
    assert_eq!(counted_for(connection, |()| judge), FAILURE);
}

#[test]
fn a_judge_of_ones_own_replaces_the_table() {
    let noauth = || Scripted::answering(wire("-NOAUTH Authentication required."));
    let stricter = |error: &RedisError| match error.code() {
        Some("NOAUTH" | "WRONGPASS") => FAILURE,
        _ => verdict(error),
    };
    assert_eq!(counted_for(noauth(), |()| verdict), SUCCESS);
    assert_eq!(counted_for(noauth(), |()| stricter), FAILURE);
    assert_eq!(counted_for(Scripted::answering(wire("-WRONGTYPE no")), |()| stricter), SUCCESS);
    assert_eq!(counted_for(Scripted::answering(wire("-OOM no")), |()| |_: &RedisError| IGNORE), IGNORE);
}

#[test]
fn the_rejection_of_a_breaker_below_counts_for_nothing() {
    let below = Breaker::new("below").unwrap();
    below.set_control(Control::ForcedOpen);
    let above = Breaker::new("above").unwrap();
    let below = Guarded::new(Scripted::answering(Value::Okay), below).deadline(None);
    let judge = |_: &RedisError| FAILURE;
    let mut both = Guarded::new(below, above.clone()).deadline(None).classify(judge);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(redis::cmd("GET").query_async::<Value>(&mut both)).unwrap_err();
    assert_eq!(mainstay_redis::rejected(&error).unwrap().name().as_str(), "below");
    assert_eq!(verdict(&error), IGNORE);
    assert_eq!(above.snapshot().totals.ignored, 1);
}

/// Values of any shape, and whether an error that fails is among them.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => Just(Value::Nil),
        4 => any::<i64>().prop_map(Value::Int),
        4 => Just(Value::Okay),
        2 => Just(wire("-WRONGTYPE no")),
        1 => Just(wire("-OOM full")),
        1 => Just(wire("-LOADING wait")),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        let many = || prop::collection::vec(inner.clone(), 0..6);
        let pairs = || prop::collection::vec((inner.clone(), inner.clone()), 0..3);
        prop_oneof![
            many().prop_map(Value::Array),
            many().prop_map(Value::Set),
            many().prop_map(|data| Value::Push { kind: redis::PushKind::Message, data }),
            pairs().prop_map(Value::Map),
            (inner.clone(), pairs())
                .prop_map(|(data, attributes)| Value::Attribute { data: Box::new(data), attributes }),
        ]
    })
}

/// Whether an error that fails is in a value, in the plainest words.
fn fails(value: &Value) -> bool {
    match value {
        Value::ServerError(error) => matches!(error.code(), "OOM" | "LOADING"),
        Value::Array(values) | Value::Set(values) | Value::Push { data: values, .. } => {
            values.iter().any(fails)
        }
        Value::Map(pairs) => pairs.iter().any(|(key, value)| fails(key) || fails(value)),
        Value::Attribute { data, attributes } => {
            fails(data) || attributes.iter().any(|(key, value)| fails(key) || fails(value))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_shape_of_an_answer_hides_a_failure(value in values()) {
        let expected = if fails(&value) { FAILURE } else { SUCCESS };
        prop_assert_eq!(counted(value), expected);
    }

    #[test]
    fn any_line_that_a_server_may_send_has_a_verdict(code in "[A-Z]{0,12}", detail in "[ -~]{0,60}") {
        let verdict = verdict(&wire_error(&format!("-{code} {detail}")));
        prop_assert_ne!(verdict, IGNORE);
    }
}

#[test]
fn an_answer_deeper_than_any_parser_lets_through_is_looked_into_without_harm() {
    let mut value = wire("-OOM full");
    for _ in 0..5_000 {
        value = Value::Array(vec![value]);
    }
    let connection = Scripted::new({
        let value = std::sync::Mutex::new(Some(value));
        move |_| Does::Answers(Ok(value.lock().unwrap().take().unwrap()))
    });
    assert_eq!(counted_for(connection, |()| verdict), SUCCESS);
}
