//! The headers of every answer, of whatever kind and on both listeners. What only the page needs is in `page`.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};

/// Browsers take an answer for what it says to be: text that repeats what somebody sent is neither page nor script.
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// Pages of other sites may not load anything from here, neither to show it as theirs nor to find out what is in it.
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// A picture that is opened by itself is a document, which could bring scripts: it loads and runs nothing.
const PICTURE: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
);

/// Adds what an answer lacks of them.
///
/// # Errors
/// Those of `next`.
pub async fn protected<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut answered = next.call(request).await?;
    // What follows it is no answer.
    if answered.status() != StatusCode::SWITCHING_PROTOCOLS {
        protect(answered.headers_mut());
    }
    Ok(answered)
}

fn protect(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, SAME_ORIGIN);
    let media = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if media.is_some_and(|media| media.starts_with(b"image/svg")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, PICTURE);
    }
}
