use super::endpoint::Aspect;
use super::view::View;
use crate::{CheckReport, Reason};

/// A line for each check, in the manner of Kubernetes' API server.
pub(crate) fn verbose(view: &View<'_>, aspect: Aspect) -> String {
    let mut lines: Vec<String> =
        view.service_obstacles(aspect).into_iter().map(|obstacle| format!("[-]{obstacle}")).collect();
    lines.extend(view.report.checks().map(|check| line(view, check, aspect)));
    let strangers: Vec<String> = view
        .excluded
        .iter()
        .filter(|name| view.report.check(name).is_none())
        .map(|name| format!("{name:?}"))
        .collect();
    if !strangers.is_empty() {
        let strangers = strangers.join(",");
        lines.push(format!("warn: some health checks cannot be excluded: no matches for {strangers}"));
    }
    let passed = if view.passes(aspect) { "passed" } else { "failed" };
    lines.push(format!("{} check {passed}\n", aspect.probe()));
    lines.join("\n")
}

fn line(view: &View<'_>, check: &CheckReport, aspect: Aspect) -> String {
    let (name, status) = (check.name, check.status);
    if view.excludes(check) {
        return format!("[+]{name} excluded: ok");
    }
    let sign = if view.fails(check, aspect) { '-' } else { '+' };
    let cause = match (check.reason, check.blocked_by) {
        (Reason::Blocked, Some(blocker)) => format!("blocked by {blocker}"),
        (reason, _) => reason.to_string(),
    };
    let class = check.last.as_ref().and_then(|last| last.error.as_ref()).map(|error| error.class());
    // Of a status that is not the latest run's, or is not from a run at all, the error is no explanation.
    let class = class.filter(|_| matches!(check.reason, Reason::Error | Reason::Reported));
    let class = class.map(|class| format!(", {class}")).unwrap_or_default();
    format!("[{sign}]{name} {status}: {cause}{class}")
}
