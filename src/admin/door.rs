//! The one guard around all handlers that read the board or write to it.
//!
//! They answer only those who ask by a name that no web page can have given this listener. Otherwise a page whose
//! own name is made to lead to 127.0.0.1 would be of the same origin as this listener (DNS rebinding), and the
//! operator's browser would let it read and write. And they answer no page at all, of whatever origin.

use std::net::IpAddr;

use actix_web::{
    Error, HttpResponse, Scope,
    body::{EitherBody, MessageBody},
    dev::{HttpServiceFactory, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
    middleware::{Next, from_fn},
    web,
};

use super::refuse;
use crate::live::Following;

/// `handlers` behind the guard.
pub fn guarded(handlers: Scope) -> impl HttpServiceFactory {
    handlers.wrap(from_fn(only_operators))
}

async fn only_operators<B: MessageBody + 'static>(
    live: web::Data<Following>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let refusal = if !host.is_some_and(|host| is_known(host, &live.now().hosts)) {
        log::debug!("an operator's request for Host {host:?} was refused");
        HttpResponse::build(StatusCode::MISDIRECTED_REQUEST)
            .content_type("text/plain; charset=utf-8")
            .body("ask by address or as localhost, or add this name to admin.hosts\n")
    } else if is_by_a_page(headers) {
        refuse(StatusCode::FORBIDDEN, "not for browsers")
    } else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    Ok(request.into_response(refusal).map_into_right_body())
}

/// Whether a page made a browser ask: the browser names its origin, or says so (Fetch Metadata, `Sec-Fetch-Site`).
fn is_by_a_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    site.is_some_and(|site| site != b"none") || headers.contains_key(header::ORIGIN)
}

/// Whether a `Host` is an address, `localhost` or one of `names`, on whatever port.
fn is_known(host: &str, names: &[String]) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, ""),
    };
    if !port.chars().all(|c| c.is_ascii_digit()) {
        return false;
    }
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.trim_end_matches('.').eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        test::{TestRequest, call_service, init_service},
    };

    use super::*;
    use crate::live::Live;

    #[actix_rt::test]
    async fn a_handler_that_knows_of_no_guard_is_guarded() {
        let handlers = web::scope("").route("/new", web::post().to(async || "done"));
        let (_sender, live) =
            Following::begin(Live { hosts: vec!["node-1".to_owned()], ..Live::any() });
        let app = App::new().app_data(web::Data::new(live)).service(guarded(handlers));
        let app = init_service(app).await;
        for (path, host, by_a_page, status) in [
            ("/new", Some("node-1:9090"), None, 200),
            ("/new", Some("node-1"), Some(("sec-fetch-site", "none")), 200),
            ("/new", Some("evil.example"), None, 421),
            ("/new", None, None, 421),
            ("/new", Some("node-1"), Some(("sec-fetch-site", "same-origin")), 403),
            ("/new", Some("node-1"), Some(("origin", "http://node-1")), 403),
            ("/nothing", Some("node-1"), None, 404),
            ("/nothing", Some("evil.example"), None, 421),
            ("/nothing", Some("node-1"), Some(("origin", "null")), 403),
        ] {
            let request = TestRequest::post().uri(path);
            let request =
                host.into_iter().fold(request, |to, host| to.insert_header(("host", host)));
            let request = by_a_page.into_iter().fold(request, TestRequest::insert_header);
            let answer = call_service(&app, request.to_request()).await;
            assert_eq!(answer.status().as_u16(), status, "{path} at {host:?} {by_a_page:?}");
        }
    }

    #[test]
    fn addresses_localhost_and_listed_names_are_known_and_nothing_else() {
        let names = ["node-1".to_owned(), "Node-2.example.org".to_owned()];
        for known in [
            "127.0.0.1:9090",
            "10.1.2.3",
            "[::1]:9090",
            "[fd00::1]",
            "localhost:1",
            "LocalHost",
            "localhost.:9090",
            "node-1:9090",
            "node-2.example.org",
        ] {
            assert!(is_known(known, &names), "{known}");
        }
        for other in [
            "",
            "evil.example",
            "evil.example:9090",
            "127.0.0.1.evil.example:9090",
            "localhost.evil.example",
            "evil.localhost",
            "node-1:x",
            "node-1.evil.example",
            "[::1",
            "localhost@evil.example",
        ] {
            assert!(!is_known(other, &names), "{other}");
        }
    }
}
