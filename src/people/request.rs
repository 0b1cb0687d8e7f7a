//! Requests of people: whom one is from, and which of those that change something are ours.
//!
//! A browser sends our cookie along with whatever any page of any port or subdomain of this host has it send: `SameSite`
//! knows sites, not origins. So each command has to come from an origin that may connect, as a handshake has to, and
//! has to be JSON, which no form of another page can send.

use std::{future::Future, pin::Pin};

use actix_web::{
    Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse,
    dev::Payload,
    error::InternalError,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    web,
};
use serde::de::DeserializeOwned;

use super::{People, Presented, cookie};
use crate::{
    handshake,
    live::Following,
    object::Object,
    origin::Origin,
    problem::problem,
    unread::{self, Unreadable},
};

/// Most bytes of a command: a password has at most 256, and all of them may have to be escaped.
const BODY_BYTES_MAX: usize = 4096;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether whoever sent `headers` says that it reached us by https. Who says so without need only has less: the
/// cookie without the prefix does not count then.
pub fn is_secure(headers: &HeaderMap) -> bool {
    let lines = |name: HeaderName| headers.get_all(name).filter_map(|line| line.to_str().ok());
    let is_https = |text: &str| text.trim().eq_ignore_ascii_case("https");
    lines(header::ORIGIN).filter_map(Origin::parse).any(|origin| origin.is_https())
        || lines(X_FORWARDED_PROTO).flat_map(|line| line.split(',')).any(is_https)
        || lines(header::FORWARDED).any(|line| line.to_ascii_lowercase().contains("proto=https"))
}

/// Whom `headers` are from.
pub fn presented(people: &People, headers: &HeaderMap, now_ms: u64) -> Presented {
    if !headers.contains_key(header::COOKIE) {
        return Presented::Nobody;
    }
    let cookies = headers.get_all(header::COOKIE).map(HeaderValue::as_bytes);
    people.presented(cookie::values(cookies, is_secure(headers)), now_ms)
}

/// Whom a request is from, as it was found when it came in.
pub fn of(request: &HttpRequest) -> Presented {
    *request.extensions().get::<Presented>().expect("every request passes the limits first")
}

/// A request that changes something: judged, and its body read.
#[derive(Debug)]
pub struct Command<T> {
    /// Whom it is from.
    pub from: Presented,
    /// Whether it came by https.
    pub is_secure: bool,
    /// What it says.
    pub body: T,
}

impl<T: DeserializeOwned + 'static> FromRequest for Command<T> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            judged(&request).await.map_err(|answer| {
                let status = answer.status();
                InternalError::from_response(status, answer).into()
            })
        })
    }
}

async fn judged<T: DeserializeOwned>(request: &HttpRequest) -> Result<Command<T>, HttpResponse> {
    let headers = request.headers();
    let live = request.app_data::<web::Data<Following>>().expect("the App has it").now();
    let origins: Vec<_> = headers.get_all(header::ORIGIN).collect();
    live.rules
        .allows(&origins, handshake::header(request, header::HOST))
        .map_err(|stranger| problem(StatusCode::FORBIDDEN, &stranger.to_string()))?;
    let media = handshake::header(request, header::CONTENT_TYPE).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        let text = "send JSON: Content-Type: application/json";
        return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let body = unread::read(request, BODY_BYTES_MAX).await.map_err(|why| match why {
        Unreadable::TooLong => {
            let text = format!("the body has more than {BODY_BYTES_MAX} bytes");
            problem(StatusCode::PAYLOAD_TOO_LARGE, &text)
        }
        Unreadable::TooLate => {
            problem(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")
        }
        Unreadable::Broken => problem(StatusCode::BAD_REQUEST, "the body is not complete"),
    })?;
    let Object(body) = serde_json::from_slice(&body).map_err(|error| {
        problem(
            StatusCode::BAD_REQUEST,
            &format!("the body is not what is asked for here: {error}"),
        )
    })?;
    Ok(Command { from: of(request), is_secure: is_secure(headers), body })
}
