use mainstay_health::{Check, CheckOutcome, ErrorClass, Status, checks};

use crate::ask::{ask, asking_check, class, figure, find};

#[tokio::test]
async fn the_figures_are_those_of_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let run = find(checks::disk_space(dir.path())).await;
    let (total, free) = (figure(&run, "total_bytes"), figure(&run, "free_bytes"));
    assert!(0.0 < free && free <= total, "{free} of {total}");
    assert!((figure(&run, "free_share") - free / total).abs() < 0.01);
    assert_eq!(class(&run), None);
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let run = find(checks::disk_space(dir.path().join("gone"))).await;
    assert_eq!((run.status, class(&run)), (Status::Unhealthy, Some(ErrorClass::NotFound)));
    assert!(run.error.unwrap().text().contains("gone"));
}

#[tokio::test]
async fn a_file_system_without_blocks_is_no_place_to_check() {
    let run = find(checks::disk_space("/proc")).await;
    assert_eq!((run.status, class(&run)), (Status::Unhealthy, Some(ErrorClass::BadAnswer)));
}

#[tokio::test]
async fn it_is_degraded_below_a_tenth_and_unhealthy_below_a_fiftieth_with_room_to_recover() {
    for key in ["free_share", "inodes_free_share"] {
        let share = std::sync::Arc::new(std::sync::Mutex::new(0.5));
        let found = share.clone();
        let probe = move || {
            let share = *found.lock().unwrap();
            async move { CheckOutcome::healthy().detail(key, share) }
        };
        let rules = checks::disk_space("/").rules().to_vec();
        let health = asking_check(Check::internal("it", probe).rules(rules));
        let steps = [
            (0.50, Status::Healthy),
            (0.11, Status::Healthy),
            (0.09, Status::Degraded),
            (0.14, Status::Degraded),
            (0.16, Status::Healthy),
            (0.01, Status::Unhealthy),
            (0.04, Status::Unhealthy),
            (0.06, Status::Degraded),
            (0.16, Status::Healthy),
        ];
        for (left, status) in steps {
            *share.lock().unwrap() = left;
            assert_eq!(ask(&health).await.status, status, "{key} {left}");
        }
    }
}
