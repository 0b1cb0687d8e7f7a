//! What players' listener answers about people: each handler translates between HTTP and a service, and decides nothing.

mod accounts;
mod leaderboard;
mod me;
mod teams;

use std::{fmt, time::Duration};

use actix_web::{
    Error, HttpResponse, Resource,
    error::InternalError,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web::{self, delete, get, post, put},
};
use serde::{Deserialize, Serialize};

use super::{Presented, accounts::AccountError, cookie, groups::GroupError, identity::Identity};
use crate::{
    database::Trouble,
    problem::problem,
    routes::methods::{allowing, get_or_head},
};

/// All of them.
pub fn all() -> Vec<Resource> {
    const POST: &str = "POST, OPTIONS";
    let posting = |path| allowing(POST, path);
    vec![
        allowing("POST, DELETE, OPTIONS", "/me")
            .route(post().to(me::identify))
            .route(delete().to(accounts::delete)),
        posting("/me/register").route(post().to(accounts::register)),
        posting("/me/login").route(post().to(accounts::log_in)),
        posting("/me/reset").route(post().to(accounts::reset)),
        posting("/me/logout").route(post().to(me::log_out)),
        posting("/me/name").route(post().to(accounts::rename)),
        posting("/me/password").route(post().to(accounts::change_password)),
        posting("/me/export").route(post().to(accounts::export)),
        get_or_head("/leaderboard", leaderboard::show),
        posting("/teams").route(post().to(teams::create)),
        posting("/teams/join").route(post().to(teams::join)),
        posting("/teams/leave").route(post().to(teams::leave)),
        allowing("GET, HEAD, PUT, OPTIONS", "/teams/{id}")
            .route(get().to(teams::show))
            .route(web::head().to(teams::show))
            .route(put().to(teams::change)),
    ]
}

/// An answer about somebody: for them alone, and never kept. Has the browser keep `value` as our cookie, if there is one.
fn answer(body: &impl Serialize, value: Option<&str>, is_secure: bool) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(value) = value {
        response.insert_header((header::SET_COOKIE, cookie::set(value, is_secure)));
    }
    response.json(body)
}

/// It is done, and there is nothing to say.
fn done() -> HttpResponse {
    HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish()
}

/// A request that is not done: the answer that says why.
pub struct Refused(HttpResponse);

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}", self.0.status())
    }
}

impl From<Refused> for Error {
    fn from(Refused(answer): Refused) -> Self {
        let status = answer.status();
        InternalError::from_response(status, answer).into()
    }
}

impl Refused {
    /// With the reason for people.
    fn new(status: StatusCode, detail: &str) -> Self {
        Self(problem(status, detail))
    }

    /// Whether an identity holds cannot be said yet.
    fn not_yet() -> Self {
        Self::later("who has signed out is not known yet: come again in a moment")
    }

    /// Nothing can be done now: `detail` says why.
    fn later(detail: &str) -> Self {
        Self::wait(StatusCode::SERVICE_UNAVAILABLE, detail, Duration::from_secs(2))
    }

    /// Nothing is done before so much time has passed.
    fn wait(status: StatusCode, detail: &str, time: Duration) -> Self {
        let seconds = HeaderValue::from(time.as_millis().div_ceil(1000).max(1) as u64);
        let mut answer = problem(status, detail);
        answer.headers_mut().insert(header::RETRY_AFTER, seconds);
        Self(answer)
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        log::debug!("people: {trouble}");
        Self::later("the database of people is away: come again in a moment")
    }
}

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        let status = match &error {
            AccountError::Database(trouble) => return trouble.clone().into(),
            AccountError::Busy(busy) => return Self::later(&busy.to_string()),
            AccountError::TooSoon(time) => {
                return Self::wait(StatusCode::TOO_MANY_REQUESTS, &error.to_string(), *time);
            }
            AccountError::Name(_) | AccountError::Password(_) => StatusCode::UNPROCESSABLE_ENTITY,
            AccountError::NameTaken => StatusCode::CONFLICT,
            // One that has none is as wrong as one that does not know the password.
            AccountError::Wrong | AccountError::NoAccount => StatusCode::UNAUTHORIZED,
            AccountError::Banned => StatusCode::FORBIDDEN,
        };
        Self::new(status, &error.to_string())
    }
}

impl From<GroupError> for Refused {
    fn from(error: GroupError) -> Self {
        let status = match &error {
            GroupError::Database(trouble) => return trouble.clone().into(),
            GroupError::Name(_) | GroupError::Colour | GroupError::TooLong => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            GroupError::NameTaken
            | GroupError::InTeam
            | GroupError::TooManyRooms
            | GroupError::Full => StatusCode::CONFLICT,
            GroupError::NoAccount | GroupError::NotMaker => StatusCode::FORBIDDEN,
            GroupError::Unknown => StatusCode::NOT_FOUND,
            GroupError::TooManyReports => StatusCode::TOO_MANY_REQUESTS,
        };
        Self::new(status, &error.to_string())
    }
}

/// What a handler answers.
type Answer = Result<HttpResponse, Refused>;

/// A command that says nothing more than which one it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Whoever asks, if that is certain.
///
/// # Errors
/// 401 for nobody in particular, 503 if it cannot be said yet.
fn known(from: Presented) -> Result<Identity, Refused> {
    match from {
        Presented::Valid(identity) => Ok(identity),
        Presented::Nobody => Err(Refused::new(StatusCode::UNAUTHORIZED, "sign in first")),
        Presented::Unknown => Err(Refused::not_yet()),
    }
}
