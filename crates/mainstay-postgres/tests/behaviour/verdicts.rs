//! What each error says about the server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io;

use crate::ground::{failures, guard, ignored, shared, successes, table};
use mainstay_breaker::{Settings, State, Verdict};
use mainstay_postgres::sqlx::{self, Error};
use mainstay_postgres::{GuardedPool, default_settings, rejected, retryable, timed_out, verdict};

/// An error with a code, from the server itself.
async fn raise(db: &GuardedPool, code: &str) -> Error {
    let sql = format!("DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{code}'; END $$");
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(db).await.unwrap_err()
}

const FAILURES: [&str; 21] = [
    "08000", "08001", "08003", "08004", "08006", "08P01", "25006", "53000", "53100", "53200", "53300",
    "53400", "57000", "57P01", "57P02", "57P03", "58000", "58030", "58P01", "XX000", "XX002",
];

const CALLERS: [&str; 32] = [
    "02000", "03000", "0A000", "21000", "22001", "22003", "22012", "22P02", "23502", "23503", "23505",
    "23514", "23P01", "25001", "25P02", "25P03", "28000", "28P01", "2D000", "34000", "3D000", "40000",
    "40001", "40003", "40P01", "42501", "42601", "42P01", "44000", "54000", "55P03", "57014",
];

#[tokio::test]
async fn the_code_decides() {
    let db = guard(&shared().url(), 2);
    for (code, expected) in FAILURES
        .map(|code| (code, Verdict::Failure))
        .into_iter()
        .chain(CALLERS.map(|code| (code, Verdict::Success)))
    {
        let error = raise(&db, code).await;
        db.breaker().reset();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), code);
        assert_eq!(verdict(&error), expected, "{code}");
    }
    assert_eq!(failures(&db), FAILURES.len() as u64);
    assert_eq!(successes(&db), CALLERS.len() as u64);
}

#[tokio::test]
async fn only_what_was_rolled_back_for_others_can_be_made_again() {
    let db = guard(&shared().url(), 1);
    for code in CALLERS {
        let error = raise(&db, code).await;
        assert_eq!(retryable(&error), ["40000", "40001", "40P01"].contains(&code), "{code}");
    }
    assert!(!retryable(&raise(&db, "40002").await));
    assert!(!retryable(&Error::PoolTimedOut));
    assert!(!retryable(&Error::RowNotFound));
}

#[test]
fn errors_that_are_not_the_servers_are_judged_by_whether_it_had_answered() {
    let failed = [
        Error::Io(io::ErrorKind::BrokenPipe.into()),
        Error::Tls("no handshake".into()),
        Error::Protocol("a message out of turn".into()),
        Error::PoolTimedOut,
        Error::WorkerCrashed,
    ];
    let answered = [
        Error::RowNotFound,
        Error::TypeNotFound { type_name: "mood".into() },
        Error::ColumnNotFound("mood".into()),
        Error::ColumnIndexOutOfBounds { index: 1, len: 1 },
        Error::ColumnDecode { index: "0".into(), source: "not a number".into() },
        Error::Decode("not a number".into()),
        Error::BeginFailed,
    ];
    let unsaid = [
        Error::Configuration("no such option".into()),
        Error::InvalidArgument("wrong".into()),
        Error::Encode("too large".into()),
        Error::PoolClosed,
        Error::InvalidSavePointStatement,
        Error::AnyDriverError("unknown".into()),
    ];
    for (errors, expected) in
        [(&failed[..], Verdict::Failure), (&answered, Verdict::Success), (&unsaid, Verdict::Ignore)]
    {
        for error in errors {
            assert_eq!(verdict(error), expected, "{error:?}");
        }
    }
}

#[test]
fn an_error_that_was_made_from_one_of_the_drivers_is_judged_by_that() {
    let around = |inner: Error| Error::AnyDriverError(Box::new(inner));
    assert_eq!(verdict(&around(Error::PoolTimedOut)), Verdict::Failure);
    assert_eq!(verdict(&around(around(Error::RowNotFound))), Verdict::Success);
    assert_eq!(verdict(&around(Error::Io(io::Error::other("x")))), Verdict::Failure);
}

#[tokio::test]
async fn a_rejection_is_found_at_any_depth_and_counts_for_nothing() {
    let db = guard(&shared().url(), 1);
    db.breaker().trip();
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    assert_eq!(rejected(&error).unwrap().name().as_str(), "db");
    assert_eq!(verdict(&error), Verdict::Ignore);
    assert!(timed_out(&error).is_none());
    assert!(error.to_string().starts_with("error communicating with database: breaker db rejected the call"));

    let deeper = Error::Configuration(Box::new(io::Error::other(Error::AnyDriverError(Box::new(error)))));
    assert!(rejected(&deeper).is_some());
    assert!(rejected(&Error::Io(io::ErrorKind::Other.into())).is_none());
    assert!(rejected(&Error::RowNotFound).is_none());
}

#[tokio::test]
async fn statements_that_cannot_be_sent_count_for_nothing() {
    let db = guard(&shared().url(), 1);
    let mut many = sqlx::query("SELECT 1");
    for n in 0..65_536 {
        many = many.bind(n);
    }
    let error = many.execute(&db).await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    assert_eq!((successes(&db), failures(&db), ignored(&db)), (0, 0, 1));
}

#[tokio::test]
async fn no_row_is_a_good_answer() {
    let db = guard(&shared().url(), 1);
    let error = sqlx::query("SELECT 1 WHERE false").fetch_one(&db).await.unwrap_err();
    assert!(matches!(error, Error::RowNotFound));
    assert!(sqlx::query("SELECT 1 WHERE false").fetch_optional(&db).await.unwrap().is_none());
    assert_eq!((successes(&db), failures(&db)), (2, 0));
}

#[tokio::test]
async fn another_may_decide() {
    fn strict(error: &Error) -> Verdict {
        match error.as_database_error().and_then(|error| error.code()).as_deref() {
            Some("55P03") => Verdict::Failure,
            Some("22012") => Verdict::Ignore,
            _ => verdict(error),
        }
    }
    let db = guard(&shared().url(), 2).classify(strict);
    raise(&db, "55P03").await;
    raise(&db, "22012").await;
    raise(&db, "23505").await;
    assert_eq!((successes(&db), failures(&db), ignored(&db)), (1, 1, 1));

    let mut tx = db.begin().await.unwrap();
    let sql = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '55P03'; END $$";
    sqlx::query(sql).execute(&mut tx).await.unwrap_err();
    tx.rollback().await.unwrap();
    assert_eq!((successes(&db), failures(&db), ignored(&db)), (1, 2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_of_the_caller_by_the_thousand_do_not_trip_it() {
    let db = guard(&shared().url(), 8);
    table(&db, "mistakes").await;
    sqlx::query("INSERT INTO mistakes VALUES (1)").execute(&db).await.unwrap();
    let mistakes = [
        "SELEC 1",
        "INSERT INTO mistakes VALUES (1)",
        "SELECT 1 / 0",
        "SELECT * FROM mistakes WHERE id = 'one'",
        "SELECT * FROM nowhere",
        "INSERT INTO mistakes VALUES (NULL)",
        "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$",
    ];
    let tasks: Vec<_> = mistakes
        .into_iter()
        .map(|mistake| {
            let db = db.clone();
            tokio::spawn(async move {
                for _ in 0..500 {
                    let error = sqlx::query(mistake).execute(&db).await.unwrap_err();
                    assert!(error.as_database_error().is_some(), "{error:?}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((successes(&db), failures(&db)), (1 + 8 * 500, 0));
    assert_eq!(db.breaker().state(), State::Closed);
    assert_eq!(db.breaker().snapshot().epoch, 0);
}

#[tokio::test]
async fn a_url_that_makes_no_sense_is_the_drivers_own_error() {
    let error = sqlx::PgPool::connect_lazy("postgres://localhost:port/db").unwrap_err();
    assert!(matches!(error, Error::Configuration(_)), "{error:?}");
}

#[tokio::test]
async fn a_wrong_name_or_database_is_the_callers_and_said_at_once() {
    let url = shared().url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let db = guard(&format!("{server}/nowhere"), 1);
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "3D000");
    assert_eq!((successes(&db), failures(&db)), (1, 0));
}

#[test]
fn the_default_settings_are_those_of_a_database() {
    let settings: Settings = default_settings();
    settings.validate().unwrap();
    let half_open = settings.half_open;
    assert_eq!((half_open.max_in_flight, half_open.close_after, half_open.reopen_after), (3, 2, 1));
    assert_eq!(settings.open_for.duration(0, 0, 0).as_secs(), 30);
    assert_eq!(settings.open_for.duration(9, 0, 0).as_secs(), 30);
    assert_eq!(settings.rules().len(), 1);
}
