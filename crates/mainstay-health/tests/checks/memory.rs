use std::fs;
use std::path::Path;

use mainstay_health::{Check, ErrorClass, Rule, Status, checks};
use tempfile::TempDir;

use crate::ask::{ask, asking, asking_check, class, figure, find};

const MIB: u64 = 1024 * 1024;

/// A machine of 16 GiB, 4 of which are in use.
fn machine() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "proc/meminfo", MEMINFO);
    root
}

const MEMINFO: &str = "\
MemTotal:       16777216 kB
MemFree:         1024000 kB
MemAvailable:   12582912 kB
Buffers:          204800 kB
SwapTotal:             0 kB
";

fn put(root: &Path, path: &str, text: impl AsRef<str>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text.as_ref()).unwrap();
}

/// A machine with version 2, and the process in a cgroup.
fn unified(path: &str) -> TempDir {
    let root = machine();
    put(root.path(), "proc/self/cgroup", format!("0::{path}\n"));
    put(root.path(), "sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
    root
}

fn group(root: &Path, place: &str, current: u64, max: &str, inactive: u64) {
    let place = format!("sys/fs/cgroup/{place}");
    put(root, &format!("{place}/memory.current"), format!("{current}\n"));
    put(root, &format!("{place}/memory.max"), format!("{max}\n"));
    let stat = format!("anon 1000\nfile 99999999\nactive_file 7\ninactive_file {inactive}\nslab 12\n");
    put(root, &format!("{place}/memory.stat"), stat);
}

fn old_group(root: &Path, place: &str, usage: u64, limit: u64, inactive: u64) {
    let place = format!("sys/fs/cgroup/memory/{place}");
    put(root, &format!("{place}/memory.usage_in_bytes"), format!("{usage}\n"));
    put(root, &format!("{place}/memory.limit_in_bytes"), format!("{limit}\n"));
    let stat = format!("cache 5\nrss 6\ninactive_file 1\ntotal_cache 5\ntotal_inactive_file {inactive}\n");
    put(root, &format!("{place}/memory.stat"), stat);
}

/// Where its figures are from, what is in use of what there may be.
async fn seen(root: &TempDir) -> (String, u64, u64) {
    let run = find(checks::memory_at(root.path())).await;
    assert_eq!(class(&run), None, "{:?}", run.error.map(|error| error.text().to_owned()));
    let source = run.details.get("source").unwrap().as_str().unwrap().to_owned();
    let (used, limit) = (figure(&run, "used_bytes"), figure(&run, "limit_bytes"));
    assert!((figure(&run, "used_share") - used / limit).abs() < 1e-9);
    (source, used as u64, limit as u64)
}

#[tokio::test]
async fn the_working_set_counts_against_the_limit_of_the_cgroup() {
    let root = unified("/kubepods/pod1/c1");
    group(root.path(), "kubepods/pod1/c1", 300 * MIB, &(512 * MIB).to_string(), 100 * MIB);
    assert_eq!(seen(&root).await, ("cgroup_v2".into(), 200 * MIB, 512 * MIB));
}

#[tokio::test]
async fn in_a_container_the_cgroup_is_the_root_of_what_is_mounted() {
    for path in ["/", "/kubepods/out-of-sight", "/../../sibling"] {
        let root = unified(path);
        group(root.path(), "", 300 * MIB, &(512 * MIB).to_string(), 0);
        assert_eq!(seen(&root).await, ("cgroup_v2".into(), 300 * MIB, 512 * MIB), "{path}");
    }
}

#[tokio::test]
async fn of_several_limits_the_one_that_is_nearest_counts() {
    let root = unified("/pod/own");
    group(root.path(), "pod/own", 100 * MIB, &(500 * MIB).to_string(), 0);
    // Its neighbours have nearly used up what they share.
    group(root.path(), "pod", 950 * MIB, &(1000 * MIB).to_string(), 0);
    assert_eq!(seen(&root).await, ("cgroup_v2".into(), 950 * MIB, 1000 * MIB));

    group(root.path(), "pod", 101 * MIB, &(1000 * MIB).to_string(), 0);
    assert_eq!(seen(&root).await, ("cgroup_v2".into(), 100 * MIB, 500 * MIB));

    group(root.path(), "pod/own", 100 * MIB, "max", 0);
    assert_eq!(seen(&root).await, ("cgroup_v2".into(), 101 * MIB, 1000 * MIB));
}

#[tokio::test]
async fn without_a_limit_it_is_the_machine() {
    let (used, limit) = (4096 * MIB, 16384 * MIB);
    let root = machine();
    assert_eq!(seen(&root).await, ("machine".into(), used, limit), "no cgroups at all");

    let root = unified("/own");
    group(root.path(), "own", 100 * MIB, "max", 0);
    assert_eq!(seen(&root).await, ("machine".into(), used, limit), "no limit");

    group(root.path(), "own", 100 * MIB, &(20 * limit).to_string(), 0);
    assert_eq!(seen(&root).await, ("machine".into(), used, limit), "a limit that the machine does not have");
}

#[tokio::test]
async fn version_1_is_read_too() {
    let root = machine();
    let lines = "12:pids:/docker/c1\n5:cpu,cpuacct:/docker/c1\n4:hugetlb,memory:/docker/c1\n0::/docker/c1\n";
    put(root.path(), "proc/self/cgroup", lines);
    old_group(root.path(), "docker/c1", 300 * MIB, 512 * MIB, 50 * MIB);
    old_group(root.path(), "", 900 * MIB, 9_223_372_036_854_771_712, 0);
    assert_eq!(seen(&root).await, ("cgroup_v1".into(), 250 * MIB, 512 * MIB));

    // Without a namespace of its own a container sees the path of the host, and its own files at the root.
    fs::remove_dir_all(root.path().join("sys/fs/cgroup/memory/docker")).unwrap();
    old_group(root.path(), "", 300 * MIB, 400 * MIB, 50 * MIB);
    assert_eq!(seen(&root).await, ("cgroup_v1".into(), 250 * MIB, 400 * MIB));

    old_group(root.path(), "", 300 * MIB, 9_223_372_036_854_771_712, 50 * MIB);
    assert_eq!(seen(&root).await.0, "machine");
}

#[tokio::test]
async fn what_it_cannot_read_is_no_good_news() {
    let empty = tempfile::tempdir().unwrap();
    let run = find(checks::memory_at(empty.path())).await;
    assert_eq!((run.status, class(&run)), (Status::Unhealthy, Some(ErrorClass::NotFound)));

    let root = unified("/own");
    group(root.path(), "own", 100 * MIB, "a lot", 0);
    let run = find(checks::memory_at(root.path())).await;
    assert_eq!((run.status, class(&run)), (Status::Unhealthy, Some(ErrorClass::BadAnswer)));
    assert!(run.error.unwrap().text().contains("own/memory.max"));

    let root = tempfile::tempdir().unwrap();
    put(root.path(), "proc/meminfo", "MemTotal: plenty\n");
    let run = find(checks::memory_at(root.path())).await;
    assert_eq!((run.status, class(&run)), (Status::Unhealthy, Some(ErrorClass::BadAnswer)));
}

#[tokio::test]
async fn it_is_degraded_above_85_percent_and_unhealthy_above_95_with_room_to_recover() {
    let root = unified("/own");
    group(root.path(), "own", 0, "1000000", 0);
    let health = asking(checks::memory_at(root.path()));
    let steps = [
        (840_000, Status::Healthy),
        (860_000, Status::Degraded),
        (810_000, Status::Degraded),
        (790_000, Status::Healthy),
        (960_000, Status::Unhealthy),
        (910_000, Status::Unhealthy),
        (890_000, Status::Degraded),
        (790_000, Status::Healthy),
    ];
    for (used, status) in steps {
        group(root.path(), "own", used + 5_000, "1000000", 5_000);
        assert_eq!(ask(&health).await.status, status, "{used}");
    }
}

#[tokio::test]
async fn other_rules_take_the_place_of_its_own() {
    let root = unified("/own");
    group(root.path(), "own", 900_000, "1000000", 0);
    let check = Check::internal("it", checks::memory_at(root.path()));
    assert_eq!(check.settings().rules.len(), 2);
    let health = asking_check(check.rules([Rule::above("used_share", 0.99, 0.98)]));
    assert_eq!(ask(&health).await.status, Status::Healthy);
}

#[tokio::test]
async fn this_process_uses_some_of_what_there_is() {
    let run = find(checks::memory()).await;
    assert!(figure(&run, "used_bytes") > 0.0);
    assert!(figure(&run, "limit_bytes") >= figure(&run, "used_bytes"));
}
