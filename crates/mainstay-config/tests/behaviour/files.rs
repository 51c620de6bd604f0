//! What is noticed of files that change.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;

use mainstay_config::FileWatch;

/// Whether a change is reported once, and then no more.
fn reports_once(watch: &mut FileWatch) -> bool {
    let looks = [watch.look(), watch.look(), watch.look(), watch.look()];
    assert!(looks.iter().filter(|look| **look).count() <= 1, "{looks:?}");
    looks.contains(&true)
}

#[test]
fn a_file_that_is_rewritten_replaced_removed_or_there_again_is_reported_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mainstay.yaml");
    let mut watch = FileWatch::new([&path]);
    assert!(!reports_once(&mut watch));
    fs::write(&path, "one").unwrap();
    assert!(reports_once(&mut watch), "it is there");
    fs::write(&path, "three").unwrap();
    assert!(reports_once(&mut watch), "rewritten");
    let other = directory.path().join("other");
    fs::write(&other, "three").unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(reports_once(&mut watch), "replaced by another of the same length, as editors do");
    fs::remove_file(&path).unwrap();
    assert!(reports_once(&mut watch), "removed");
    assert!(!reports_once(&mut watch));
}

#[test]
fn a_file_that_is_rewritten_with_its_length_and_time_kept_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mainstay.yaml");
    fs::write(&path, "one").unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut watch = FileWatch::new([&path]);
    let file = fs::File::options().write(true).open(&path).unwrap();
    // The clock of the file system has ticks.
    let noticed = (0..1000).any(|_| {
        fs::write(&path, "two").unwrap();
        file.set_modified(modified).unwrap();
        watch.look() || watch.look()
    });
    assert!(noticed);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
}

#[test]
fn a_link_that_points_elsewhere_is_reported_as_kubernetes_swaps_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for version in ["..v1", "..v2"] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("mainstay.yaml"), "same").unwrap();
    }
    symlink("..v1", at("..data")).unwrap();
    symlink("..data/mainstay.yaml", at("mainstay.yaml")).unwrap();
    let mut watch = FileWatch::new([at("mainstay.yaml")]);
    assert!(!reports_once(&mut watch));
    symlink("..v2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    assert!(reports_once(&mut watch));
}

#[test]
fn a_file_that_is_still_being_written_is_not_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mainstay.yaml");
    let mut watch = FileWatch::new([&path]);
    let mut text = String::new();
    for _ in 0..5 {
        text.push_str("more\n");
        fs::write(&path, &text).unwrap();
        assert!(!watch.look());
    }
    assert!(watch.look());
}
