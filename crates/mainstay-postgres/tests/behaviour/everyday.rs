//! What everybody does with a database, through the guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::pin::pin;

use crate::ground::{failures, guard, shared, successes, table};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use mainstay_postgres::sqlx::postgres::types::PgInterval;
use mainstay_postgres::sqlx::postgres::{PgAdvisoryLock, PgRow};
use mainstay_postgres::sqlx::{
    self, Column, Either, Executor, FromRow, QueryBuilder, Row, Statement, TypeInfo,
};
use mainstay_postgres::{GuardedConnection, GuardedPool, GuardedTx};

fn db() -> GuardedPool {
    guard(&shared().url(), 5)
}

#[derive(Debug, FromRow, PartialEq)]
struct Thing {
    id: i32,
    name: Option<String>,
}

fn thing(id: i32, name: &str) -> Thing {
    Thing { id, name: Some(name.into()) }
}

#[tokio::test]
async fn a_value_is_fetched() {
    let db = db();
    let sum: i64 =
        sqlx::query_scalar("SELECT $1 + $2").bind(40_i64).bind(2_i64).fetch_one(&db).await.unwrap();
    assert_eq!(sum, 42);
    assert_eq!((successes(&db), failures(&db)), (1, 0));
}

#[tokio::test]
async fn values_of_many_types_go_there_and_back() {
    let db = db();
    let row: PgRow = sqlx::query("SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9")
        .bind(true)
        .bind(-7_i16)
        .bind(1.5_f32)
        .bind(2.5_f64)
        .bind("text")
        .bind(vec![1_u8, 2, 3])
        .bind(vec![4_i32, 5])
        .bind(None::<i64>)
        .bind(PgInterval { months: 1, days: 2, microseconds: 3 })
        .fetch_one(&db)
        .await
        .unwrap();
    assert!(row.get::<bool, _>(0));
    assert_eq!(row.get::<i16, _>(1), -7);
    assert_eq!(row.get::<f32, _>(2), 1.5);
    assert_eq!(row.get::<f64, _>(3), 2.5);
    assert_eq!(row.get::<String, _>(4), "text");
    assert_eq!(row.get::<Vec<u8>, _>(5), [1, 2, 3]);
    assert_eq!(row.get::<Vec<i32>, _>(6), [4, 5]);
    assert_eq!(row.get::<Option<i64>, _>(7), None);
    assert_eq!(row.get::<PgInterval, _>(8).days, 2);
}

#[tokio::test]
async fn rows_are_written_read_changed_and_deleted() {
    let db = db();
    table(&db, "things").await;
    let insert = "INSERT INTO things SELECT n, 'thing ' || n FROM generate_series(1, 100) n";
    assert_eq!(sqlx::query(insert).execute(&db).await.unwrap().rows_affected(), 100);

    let select = "SELECT id, name FROM things WHERE id > $1 ORDER BY id";
    let all: Vec<Thing> = sqlx::query_as(select).bind(98).fetch_all(&db).await.unwrap();
    assert_eq!(all, [thing(99, "thing 99"), thing(100, "thing 100")]);
    let one: Thing = sqlx::query_as(select).bind(99).fetch_one(&db).await.unwrap();
    assert_eq!(one, thing(100, "thing 100"));
    let none: Option<Thing> = sqlx::query_as(select).bind(100).fetch_optional(&db).await.unwrap();
    assert_eq!(none, None);

    let update = "UPDATE things SET name = NULL WHERE id <= $1";
    assert_eq!(sqlx::query(update).bind(10).execute(&db).await.unwrap().rows_affected(), 10);
    let delete = "DELETE FROM things WHERE name IS NULL RETURNING id";
    let gone: Vec<i32> = sqlx::query_scalar(delete).fetch_all(&db).await.unwrap();
    assert_eq!(gone.len(), 10);
    assert_eq!((successes(&db), failures(&db)), (6, 0));
}

#[tokio::test]
async fn rows_are_streamed_and_the_stream_counts_once() {
    let db = db();
    let rows = sqlx::query_scalar::<_, i32>("SELECT * FROM generate_series(1, 20000)").fetch(&db);
    let sum = rows.try_fold(0_i64, async |sum, n| Ok(sum + i64::from(n))).await.unwrap();
    assert_eq!(sum, 200_010_000);
    assert_eq!((successes(&db), failures(&db)), (1, 0));
}

#[tokio::test]
async fn a_stream_may_outlive_the_pool_that_it_came_from() {
    fn stream(db: GuardedPool) -> BoxStream<'static, sqlx::Result<PgRow>> {
        sqlx::query("SELECT * FROM generate_series(1, 3)").fetch(&db)
    }
    let all: Vec<PgRow> = stream(db()).try_collect().await.unwrap();
    assert_eq!(all.len(), 3);
}

#[tokio::test]
async fn two_streams_are_read_in_turns() {
    let db = db();
    let ones = sqlx::query_scalar::<_, i32>("SELECT 1 FROM generate_series(1, 500)").fetch(&db);
    let twos = sqlx::query_scalar::<_, i32>("SELECT 2 FROM generate_series(1, 500)").fetch(&db);
    let mut pairs = pin!(ones.zip(twos));
    let mut count = 0;
    while let Some(pair) = pairs.next().await {
        assert!(matches!(pair, (Ok(1), Ok(2))));
        count += 1;
    }
    assert_eq!(count, 500);
}

#[tokio::test]
async fn a_stream_may_be_driven_from_within_another() {
    let db = db();
    let outer = sqlx::query_scalar::<_, i32>("SELECT * FROM generate_series(1, 20)").fetch(&db);
    let inner =
        |n: i32| sqlx::query_scalar::<_, i32>("SELECT * FROM generate_series(1, $1)").bind(n).fetch(&db);
    let all: Vec<i32> = outer.map_ok(inner).try_flatten().try_collect().await.unwrap();
    assert_eq!(all.len(), 210);
}

#[tokio::test]
async fn several_statements_in_one_text_give_their_rows_and_counts_in_order() {
    let db = db();
    let steps = sqlx::raw_sql("SELECT 1; SELECT 2 WHERE false; SELECT 3, 4").fetch_many(&db);
    let steps: Vec<_> = steps.try_collect().await.unwrap();
    let shape: Vec<_> = steps
        .iter()
        .map(|step| match step {
            Either::Left(result) => format!("{} rows", result.rows_affected()),
            Either::Right(row) => format!("a row of {}", row.len()),
        })
        .collect();
    assert_eq!(shape, ["a row of 1", "1 rows", "0 rows", "a row of 2", "1 rows"]);
}

#[tokio::test]
async fn statements_are_prepared_and_described() {
    let db = db();
    let statement = db.prepare(sqlx::SqlSafeStr::into_sql_str("SELECT $1::int4 AS answer")).await.unwrap();
    assert_eq!(statement.columns()[0].name(), "answer");
    let answer: i32 = statement.query_scalar().bind(42).fetch_one(&db).await.unwrap();
    assert_eq!(answer, 42);

    let described = db.describe(sqlx::SqlSafeStr::into_sql_str("SELECT 'x'::text")).await.unwrap();
    assert_eq!(described.columns()[0].type_info().name(), "TEXT");
}

#[tokio::test]
async fn a_query_builder_inserts_many_rows_at_once() {
    let db = db();
    table(&db, "built").await;
    let mut insert = QueryBuilder::new("INSERT INTO built ");
    insert.push_values(0..1000, |mut row, n| {
        row.push_bind(n).push_bind(format!("name {n}"));
    });
    assert_eq!(insert.build().execute(&db).await.unwrap().rows_affected(), 1000);
}

#[tokio::test]
async fn statements_on_one_connection_share_its_session() {
    let db = db();
    let mut conn = db.acquire().await.unwrap();
    sqlx::query("CREATE TEMP TABLE mine (n int)").execute(&mut conn).await.unwrap();
    sqlx::query("INSERT INTO mine VALUES (1), (2)").execute(&mut conn).await.unwrap();
    let all: Vec<i32> = sqlx::query_scalar("SELECT n FROM mine").fetch_all(&mut conn).await.unwrap();
    assert_eq!(all, [1, 2]);
    let statement = (&mut conn).prepare(sqlx::SqlSafeStr::into_sql_str("SELECT 1")).await.unwrap();
    assert_eq!(statement.columns().len(), 1);
    (&mut conn).describe(sqlx::SqlSafeStr::into_sql_str("SELECT 1")).await.unwrap();
    // One for the connection, one for each statement.
    assert_eq!((successes(&db), failures(&db)), (6, 0));
}

#[tokio::test]
async fn copying_goes_by_way_of_the_drivers_connection() {
    let db = db();
    table(&db, "copied").await;
    let mut conn = db.acquire().await.unwrap();
    let mut copy = conn.inner_mut().copy_in_raw("COPY copied FROM STDIN").await.unwrap();
    copy.send(&b"1\tone\n2\ttwo\n"[..]).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 2);
    let out = conn.inner_mut().copy_out_raw("COPY copied TO STDOUT").await.unwrap();
    let bytes: Vec<u8> = out.map_ok(|chunk| chunk.to_vec()).try_concat().await.unwrap();
    assert_eq!(bytes, b"1\tone\n2\ttwo\n");
    drop(conn);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM copied").fetch_one(&db).await.unwrap();
    assert_eq!(count, 2);
}

#[tokio::test]
async fn an_advisory_lock_is_held_on_the_drivers_connection() {
    let db = db();
    let lock = PgAdvisoryLock::new("everyday");
    let mut conn = db.acquire().await.unwrap();
    let guard = lock.acquire(conn.inner_mut()).await.unwrap();
    let mut other = db.acquire().await.unwrap();
    assert!(lock.try_acquire(other.inner_mut()).await.unwrap().is_right());
    guard.release_now().await.unwrap();
    let got = lock.try_acquire(other.inner_mut()).await.unwrap().left().unwrap();
    got.release_now().await.unwrap();
}

#[tokio::test]
async fn a_function_over_any_executor_takes_all_three() {
    async fn one<'c, E: sqlx::PgExecutor<'c>>(executor: E) -> i32 {
        sqlx::query_scalar("SELECT 1").fetch_one(executor).await.unwrap()
    }
    let db = db();
    assert_eq!(one(&db).await, 1);
    assert_eq!(one(&mut db.acquire().await.unwrap()).await, 1);
    let mut tx = db.begin().await.unwrap();
    assert_eq!(one(&mut tx).await, 1);
    assert_eq!(one(&mut tx.begin().await.unwrap()).await, 1);
}

#[test]
fn everything_can_be_sent_to_other_threads() {
    fn sent<T: Send + Sync + 'static>() {}
    fn future<F: Future + Send>(_: impl FnOnce(GuardedPool) -> F) {}
    sent::<GuardedPool>();
    sent::<GuardedConnection>();
    sent::<GuardedTx<'static>>();
    future(async |db: GuardedPool| {
        let mut tx = db.begin().await?;
        sqlx::query("SELECT 1").execute(&mut tx).await?;
        let mut savepoint = tx.begin().await?;
        sqlx::query("SELECT 1").fetch(&mut savepoint).next().await;
        savepoint.rollback().await?;
        tx.commit().await?;
        let mut conn = db.acquire().await?;
        conn.begin().await?.commit().await?;
        sqlx::query("SELECT 1").fetch_optional(&mut conn).await
    });
}

#[tokio::test]
async fn many_tasks_share_few_connections() {
    let db = guard(&shared().url(), 3);
    let tasks: Vec<_> = (0..20)
        .map(|n: i32| {
            let db = db.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let back: i32 = sqlx::query_scalar("SELECT $1").bind(n).fetch_one(&db).await.unwrap();
                    assert_eq!(back, n);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((successes(&db), failures(&db)), (200, 0));
    let figures = db.figures();
    assert!(figures.size <= 3);
    assert_eq!((figures.max, figures.waiters), (3, 0));
}

#[tokio::test]
async fn a_closed_pool_says_so_and_the_breaker_is_not_told() {
    let db = db();
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
    db.close().await;
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::PoolClosed), "{error:?}");
    assert_eq!((successes(&db), failures(&db)), (1, 0));
    assert_eq!(db.figures().size, 0);
}

#[tokio::test]
async fn a_connection_dropped_outside_the_runtime_is_closed_without_a_panic() {
    let db = db();
    let conn = db.acquire().await.unwrap();
    assert_eq!(db.figures().in_use, 1);
    std::thread::spawn(move || drop(conn)).join().unwrap();
    assert_eq!(db.figures().size, 0);
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
}
