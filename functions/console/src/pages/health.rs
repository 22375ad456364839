//! Health of the shop: what disagrees, what cannot be read, and how far the jobs of Reconcile are behind.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use futures::future::join;
use maud::html;
use shared::error::{Error, Kind};

use crate::Console;
use crate::http::{Answer, Failure, Place, Query, Visit};
use crate::layout;
use crate::texts::health as texts;

mod check;
mod jobs;

use check::Checked;

const PATH: &str = "/console/health";

/// Routes of the page.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(show))
}

/// Shows the jobs and, to admins, the next part of the check. What is silent leaves the rest.
async fn show(visit: Visit, query: Query) -> Answer {
    let check = async {
        if !visit.is_admin() {
            return None;
        }
        Some(check::run(&visit, &query).await)
    };
    let (jobs, checked) = join(jobs::fetch(&visit), check).await;
    let error = checked.as_ref().and_then(Checked::error);
    if jobs.as_ref().is_err_and(is_signed_out) || error.is_some_and(is_signed_out) {
        return Err(Failure::signed_out());
    }
    for error in jobs.as_ref().err().into_iter().chain(error).filter(|error| layout::is_unknown(error)) {
        tracing::warn!(causes = error.causes(), "a part of the health is missing: {error}");
    }
    let is_products_silent = jobs.as_ref().is_ok_and(|jobs| jobs.iter().any(|job| job.incomplete));
    let body = html! {
        h1 { (texts::TITLE) }
        (check::sections(&visit, checked.as_ref(), is_products_silent))
        (jobs::section(&visit, &jobs))
    };
    Ok(match error.filter(|_| checked.as_ref().is_some_and(Checked::is_bad_cursor)) {
        Some(error) => visit.refused(error, texts::TITLE, Place::Health, body),
        None => visit.page(texts::TITLE, Place::Health, body),
    })
}

fn is_signed_out(error: &Error) -> bool {
    error.kind() == Kind::Unauthenticated
}
