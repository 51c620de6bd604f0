//! How often the guard allocates, beyond what the driver does for the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ground;

use allocation_counter::measure;
use futures_util::TryStreamExt;
use ground::{guard, shared};
use mainstay_postgres::GuardedPool;
use mainstay_postgres::sqlx::{self, PgPool};
use tokio::runtime::Runtime;

const CALLS: u32 = 50;

/// Allocations of one call, on average. All that happens, tasks included, happens on this thread.
fn allocations(runtime: &Runtime, pool: &PgPool, mut call: impl AsyncFnMut()) -> f64 {
    let mut calls = |times| {
        runtime.block_on(async {
            for _ in 0..times {
                call().await;
                while pool.num_idle() == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    };
    calls(10);
    let counted = measure(|| calls(CALLS));
    counted.count_total as f64 / f64::from(CALLS)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Beyond the driver's, for each call.
fn more(runtime: &Runtime, db: &GuardedPool, guarded: impl AsyncFnMut(), plain: impl AsyncFnMut()) -> f64 {
    let guarded = allocations(runtime, db.pool(), guarded);
    let plain = allocations(runtime, db.pool(), plain);
    println!("guarded {guarded}, plain {plain}");
    guarded - plain
}

/// What timers and wakers happen to do differently.
const NEARLY: f64 = 0.5;

#[test]
fn a_statement_on_the_pool_allocates_no_more_than_without_the_guard() {
    let runtime = runtime();
    let db = runtime.block_on(async { guard(&shared().url(), 1) });
    let pool = db.pool().clone();
    let sql = "SELECT n FROM generate_series(1, 3) n";

    let execute = more(
        &runtime,
        &db,
        async || _ = sqlx::query(sql).execute(&db).await.unwrap(),
        async || _ = sqlx::query(sql).execute(&pool).await.unwrap(),
    );
    let fetch_one = more(
        &runtime,
        &db,
        async || _ = sqlx::query(sql).fetch_one(&db).await.unwrap(),
        async || _ = sqlx::query(sql).fetch_one(&pool).await.unwrap(),
    );
    let fetch_all = more(
        &runtime,
        &db,
        async || _ = sqlx::query(sql).fetch_all(&db).await.unwrap(),
        async || _ = sqlx::query(sql).fetch_all(&pool).await.unwrap(),
    );
    let fetch = more(
        &runtime,
        &db,
        async || _ = sqlx::query(sql).fetch(&db).try_fold(0, async |sum, _| Ok(sum + 1)).await.unwrap(),
        async || _ = sqlx::query(sql).fetch(&pool).try_fold(0, async |sum, _| Ok(sum + 1)).await.unwrap(),
    );
    for (name, more) in
        [("execute", execute), ("fetch_one", fetch_one), ("fetch_all", fetch_all), ("fetch", fetch)]
    {
        assert!(more < NEARLY, "{name}: {more} more");
    }
}

#[test]
fn a_row_allocates_no_more_than_without_the_guard() {
    let runtime = runtime();
    let db = runtime.block_on(async { guard(&shared().url(), 1) });
    let pool = db.pool().clone();
    let sql = "SELECT n FROM generate_series(1, 1000) n";
    let fetch = more(
        &runtime,
        &db,
        async || _ = sqlx::query(sql).fetch(&db).try_fold(0, async |sum, _| Ok(sum + 1)).await.unwrap(),
        async || _ = sqlx::query(sql).fetch(&pool).try_fold(0, async |sum, _| Ok(sum + 1)).await.unwrap(),
    );
    assert!(fetch < NEARLY, "{fetch} more");
}

#[test]
fn a_statement_in_a_transaction_allocates_the_box_that_the_trait_returns() {
    let runtime = runtime();
    let db = runtime.block_on(async { guard(&shared().url(), 1) });
    let pool = db.pool().clone();
    let more_for = |statements: u32| {
        more(
            &runtime,
            &db,
            async || {
                let mut tx = db.begin().await.unwrap();
                for _ in 0..statements {
                    sqlx::query("SELECT 1").execute(&mut tx).await.unwrap();
                }
                tx.commit().await.unwrap();
            },
            async || {
                let mut tx = pool.begin().await.unwrap();
                for _ in 0..statements {
                    sqlx::query("SELECT 1").execute(&mut *tx).await.unwrap();
                }
                tx.commit().await.unwrap();
            },
        )
    };
    assert!(more_for(0) < NEARLY);
    let each = (more_for(20) - more_for(10)) / 10.0;
    assert!((each - 1.0).abs() < NEARLY / 5.0, "{each} more for each statement");
}

#[test]
fn a_rejection_allocates_the_future_and_the_error() {
    let runtime = runtime();
    let db = runtime.block_on(async { guard(&shared().url(), 1) });
    db.breaker().trip();
    let reject = || {
        runtime.block_on(async {
            for _ in 0..CALLS {
                sqlx::query("SELECT 1").fetch_optional(&db).await.unwrap_err();
            }
        });
    };
    reject();
    let each = measure(reject).count_total as f64 / f64::from(CALLS);
    println!("{each} for a rejection");
    assert!(each <= 4.0, "{each}");
}
