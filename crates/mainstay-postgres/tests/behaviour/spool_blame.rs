//! Whom the server's errors blame, and what is told of them.
#![cfg(feature = "spool")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io;

use crate::ground::{guard, shared, table, tolerant};
use mainstay_postgres::GuardedPool;
use mainstay_postgres::spool::{Blame, blame, describe};
use mainstay_postgres::sqlx::{self, AssertSqlSafe, Error};

async fn raised(db: &GuardedPool, code: &str) -> Error {
    let sql = format!("DO $$ BEGIN RAISE EXCEPTION 'a secret' USING ERRCODE = '{code}'; END $$");
    sqlx::query(AssertSqlSafe(sql)).execute(db).await.unwrap_err()
}

#[tokio::test]
async fn the_sqlstate_says_whether_it_is_the_items_the_moments_or_the_servers_fault() {
    let db = tolerant(&shared().url(), 2);
    let expected = [
        (
            Blame::Item,
            &["21000", "22001", "22P02", "22P05", "23502", "23505", "40002", "44000", "54000", "P0001"][..],
        ),
        (Blame::Moment, &["40000", "40001", "40P01", "55P03", "57014", "25P02"]),
        (
            Blame::Server,
            &[
                "08006", "53100", "57P01", "58030", "XX000", "25006", "28P01", "3D000", "40003", "42P01",
                "42501", "0A000",
            ],
        ),
    ];
    for (expected, codes) in expected {
        for code in codes {
            let error = raised(&db, code).await;
            assert_eq!(blame(&error), expected, "{code}");
            assert_eq!(describe(&error), format!("SQLSTATE {code}"));
        }
    }
}

#[tokio::test]
async fn what_never_reached_the_server_is_the_servers_fault_unless_it_cannot_be_sent() {
    let db = guard(&shared().url(), 2);
    db.breaker().trip();
    let rejected = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    assert_eq!(blame(&rejected), Blame::Server);
    for error in [Error::PoolTimedOut, Error::PoolClosed, io::Error::from(io::ErrorKind::BrokenPipe).into()] {
        assert_eq!(blame(&error), Blame::Server, "{error}");
    }
    assert_eq!(blame(&Error::Encode("too large".into())), Blame::Item);
    assert_eq!(blame(&Error::RowNotFound), Blame::Moment);
}

#[tokio::test]
async fn no_value_and_none_of_the_servers_words_are_told() {
    let db = tolerant(&shared().url(), 2);
    table(&db, "discreet").await;
    let insert = || sqlx::query("INSERT INTO discreet VALUES (4711, 'a secret')").execute(&db);
    insert().await.unwrap();
    let text = describe(&insert().await.unwrap_err());
    assert_eq!(text, "SQLSTATE 23505, constraint discreet_pkey, table discreet");
    let cast = sqlx::query("SELECT 'a secret'::int").execute(&db).await.unwrap_err();
    assert_eq!(describe(&cast), "SQLSTATE 22P02");
    for error in [
        Error::Encode("a secret".into()),
        Error::Protocol("a secret".into()),
        io::Error::other("a secret").into(),
    ] {
        let text = describe(&error);
        assert!(!text.contains("secret"), "{text}");
    }
}
