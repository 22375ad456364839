//! Jobs of Reconcile: how far each is behind, and what it has set aside.

use std::time::Duration;

use maud::{Markup, html};
use proto::orders::v1::{GetJobsRequest, JobState, SetAsideOrder};
use shared::error::{Error, Kind};

use super::check::order_link;
use crate::http::Visit;
use crate::layout;
use crate::texts::health as texts;

/// Maximum time of the call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Age in seconds from which a job is behind: it runs every minute, and the alarm has the same limit.
const BEHIND: i64 = 300;

/// Number of orders that the API lists for a job at most.
const MOST_LISTED: usize = 100;

/// Columns: their headings, and true for numbers, which stand at the right.
const COLUMNS: [(&str, bool); 4] =
    [(texts::JOB, false), (texts::STATE, false), (texts::OLDEST_DUE, false), (texts::SET_ASIDE, true)];

/// Columns of the orders that are set aside.
const COLUMNS_SET_ASIDE: [(&str, bool); 4] =
    [(texts::ORDER, false), (texts::REASON, false), (texts::ATTEMPTS, true), (texts::NEXT_ATTEMPT, false)];

/// Asks for the state of all jobs.
pub(super) async fn fetch(visit: &Visit) -> Result<Vec<JobState>, Error> {
    let mut request = visit.request(GetJobsRequest {});
    request.set_timeout(TIMEOUT);
    Ok(visit.orders().get_jobs(request).await?.into_inner().jobs)
}

/// Renders the jobs, or why they are not known.
pub(super) fn section(visit: &Visit, jobs: &Result<Vec<JobState>, Error>) -> Markup {
    html! {
        section {
            h2 #jobs { (texts::JOBS) }
            p.muted { (texts::JOBS_HINT) }
            @match jobs {
                Ok(jobs) => {
                    (table(jobs))
                    @for job in jobs.iter().filter(|job| !job.set_aside.is_empty()) {
                        (set_aside(visit, job))
                    }
                }
                Err(error) => {
                    @if error.kind() == Kind::Forbidden {
                        p { (texts::STAFF_ONLY) }
                    } @else {
                        (layout::problem(error))
                    }
                }
            }
        }
    }
}

fn table(jobs: &[JobState]) -> Markup {
    html! {
        table.list aria-labelledby="jobs" {
            (head(COLUMNS))
            tbody {
                @for job in jobs { (row(job)) }
            }
        }
    }
}

fn head(columns: [(&str, bool); 4]) -> Markup {
    html! {
        thead {
            tr {
                @for (heading, is_number) in columns {
                    th scope="col" class=[is_number.then_some("number")] { (heading) }
                }
            }
        }
    }
}

fn row(job: &JobState) -> Markup {
    let (name, work) = texts::job(&job.job);
    html! {
        tr {
            td data-label=(texts::JOB) {
                div { (name) }
                div.muted { (work) }
            }
            td data-label=(texts::STATE) { (layout::badge(state(job))) }
            td data-label=(texts::OLDEST_DUE) { span { (oldest_due(job)) } }
            td.number data-label=(texts::SET_ASIDE) {
                span { (texts::set_aside(job.set_aside.len(), MOST_LISTED)) }
            }
        }
    }
}

/// State of a job, as the word of a badge. What is known to be behind is behind, whatever else is not known.
fn state(job: &JobState) -> &'static str {
    if job.oldest_due_seconds.is_some_and(|age| age > BEHIND) {
        texts::BEHIND
    } else if job.incomplete {
        texts::UNKNOWN
    } else {
        texts::ON_TIME
    }
}

/// Age of the oldest thing that is due.
fn oldest_due(job: &JobState) -> String {
    match (job.oldest_due_seconds.map(texts::age), job.incomplete) {
        (None, false) => texts::NOTHING_DUE.to_owned(),
        (None, true) => texts::NOT_KNOWN.to_owned(),
        (Some(age), false) => age,
        (Some(age), true) => texts::at_least(&age),
    }
}

/// Renders the orders that a job has set aside.
fn set_aside(visit: &Visit, job: &JobState) -> Markup {
    let heading = format!("set-aside-{}", job.job);
    html! {
        h3 id=(heading) { (texts::set_aside_by(texts::job(&job.job).0)) }
        table.list aria-labelledby=(heading) {
            (head(COLUMNS_SET_ASIDE))
            tbody {
                @for order in &job.set_aside { (set_aside_row(visit, &job.job, order)) }
            }
        }
    }
}

fn set_aside_row(visit: &Visit, job: &str, order: &SetAsideOrder) -> Markup {
    // These have no page: the order does not exist, or cannot be read.
    let has_page = job != "holds" && order.reason != "unreadable";
    html! {
        tr {
            td data-label=(texts::ORDER) {
                @if has_page { (order_link(visit, &order.order_id)) } @else { code { (order.order_id) } }
            }
            td data-label=(texts::REASON) { span { (texts::reason(&order.reason)) } }
            td.number data-label=(texts::ATTEMPTS) { span { (order.attempts) } }
            td data-label=(texts::NEXT_ATTEMPT) { (layout::time(order.due_at.as_ref())) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_behind_after_five_minutes() {
        for (oldest_due_seconds, incomplete, expected, age) in [
            (None, false, "on_time", "Nothing"),
            (Some(300), false, "on_time", "5 min 0 s"),
            (Some(301), false, "behind", "5 min 1 s"),
            (None, true, "unknown", "Not known: products does not answer"),
            (Some(60), true, "unknown", "At least 1 min 0 s; products does not answer"),
            (Some(3_600), true, "behind", "At least 1 h 0 min; products does not answer"),
        ] {
            let job = JobState { oldest_due_seconds, incomplete, ..Default::default() };
            assert_eq!((state(&job), oldest_due(&job).as_str()), (expected, age));
        }
    }
}
