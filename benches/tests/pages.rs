//! What the parts print and the report reads.
#![cfg(feature = "full")]

use mainstay_benches::budget::{self, Budget};
use mainstay_benches::rounds::interval;

#[test]
fn budgets_are_read_back_from_a_page_as_they_were_written() {
    let budgets = vec![
        Budget::new("`level()` ≤ 12 instructions", "6, 0.4 ns", true),
        Budget::new("`EachBatch` ≥ 20 × `EachItem`", "15.6 × (14.4 to 17.4)", false),
        Budget { promise: "two threads ≥ 0.95".to_owned(), measured: "0.97".to_owned(), met: None },
    ];
    let page = format!(
        "# A page\n\n| other | table |\n| --- | --- |\n| 1 | 2 |\n{}\nText behind it.\n",
        budget::section(&budgets)
    );
    assert_eq!(budget::read(&page), budgets);
    assert!(!budget::kept(&budgets));
}

#[test]
fn a_page_without_budgets_has_none() {
    assert_eq!(budget::section(&[]), "");
    assert_eq!(budget::read("# A page\n"), []);
}

#[test]
fn the_interval_of_a_median_has_its_known_ranks() {
    let ranked = |count: u32| (1..=count).map(f64::from).collect::<Vec<_>>();
    // As the tables of the sign test have them.
    assert_eq!(interval(&ranked(31)), (10.0, 22.0));
    assert_eq!(interval(&ranked(20)), (6.0, 15.0));
    assert_eq!(interval(&ranked(6)), (1.0, 6.0));
    // Too few for 95 %: all there is.
    assert_eq!(interval(&ranked(5)), (1.0, 5.0));
    assert!(interval(&[]).0.is_nan());
}
