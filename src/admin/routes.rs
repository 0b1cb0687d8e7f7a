//! What the listener serves: one table of all paths, their methods and their handlers. The file of the API
//! ([`openapi`](super::openapi)) describes each entry, which a test demands.

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, guard,
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
    web,
};

use super::{
    audit, backup, blocks, connections, dashboard, groups, health, limits, messages, metrics,
    notices, openapi, people, read_only, reports, rooms, settings, stats, stream, trace,
};
use crate::{problem::problem, traffic::Route};

/// One path. Every method that it has no handler for is answered with 405 and `Allow` (RFC 9110 §15.5.6), OPTIONS with
/// 204 and the same.
pub struct Served {
    /// As it is registered, and described.
    pub path: &'static str,
    /// As `Allow` has them.
    pub methods: Vec<&'static str>,
    resource: Resource,
}

/// What answers whoever gets here, by whatever name and without a token.
pub fn for_all() -> Vec<Served> {
    vec![
        at("/metrics").get(metrics::metrics),
        at("/healthz").get(health::healthz),
        at("/readyz").get(health::readyz),
    ]
}

/// The dashboard's files, which are for everybody, too, and no part of the API.
pub fn dashboard() -> Vec<Served> {
    vec![at("/").get(dashboard::document), at("/dashboard/{file}").get(dashboard::file)]
}

/// What stands behind the guard of [`door`](super::door).
pub fn for_operators() -> Vec<Served> {
    vec![
        at("/store").get(backup::store),
        at("/limits/why").get(limits::why),
        at("/audit").get(audit::audit),
        at("/settings").get(settings::settings),
        at("/ws/stats").get(stats::stats),
        at("/ws/stats/stream").get_only(stream::stream),
        at("/ws/health").get(stats::health),
        at("/board/read-only").get(read_only::show).post(read_only::begin).delete(read_only::end),
        at("/blocks").get(blocks::show).post(blocks::block).delete(blocks::unblock),
        at("/ws/broadcast").get(notices::show).post(notices::put_up).delete(notices::take_back),
        at("/ws/message").taking_up_to(messages::BODY_BYTES_MAX).post(messages::send),
        at("/ws/history").get(groups::history),
        at("/ws/presence").get(groups::presence),
        at("/ws/disconnect").post(people::disconnect),
        at("/people/bans").post(people::ban).delete(people::unban),
        at("/rooms").post(rooms::create),
        at("/rooms/{id}").get(rooms::show),
        at("/rooms/{id}/members").post(rooms::add).delete(rooms::remove),
        at("/reports").get(reports::list),
        at("/reports/{id}/close").post(reports::close),
        at("/connections").get(connections::list),
        at("/connections/{id}").delete(connections::end),
        at("/trace/{connection}").get_only(trace::trace),
        at("/export").get_only(backup::export),
        at("/import").post(backup::import),
        at("/openapi.json").get(openapi::openapi),
    ]
}

/// Begins an entry. Its requests are counted under `path`.
fn at(path: &'static str) -> Served {
    let resource = web::resource(path).app_data(Route(path));
    Served { path, methods: Vec::new(), resource }
}

impl Served {
    /// Bodies of JSON may have so many bytes.
    fn taking_up_to(mut self, bytes: usize) -> Self {
        self.resource = self.resource.app_data(super::json(bytes));
        self
    }

    /// GET, and HEAD as well (RFC 9110 §9.3.2).
    fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.extend(["GET", "HEAD"]);
        let reads = guard::Any(guard::Get()).or(guard::Head());
        self.resource = self.resource.route(web::route().guard(reads).to(handler));
        self
    }

    /// GET alone: what is expensive to make only for its head.
    fn get_only<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.taking("GET", Method::GET, handler)
    }

    fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.taking("POST", Method::POST, handler)
    }

    fn delete<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.taking("DELETE", Method::DELETE, handler)
    }

    fn taking<F, Args>(mut self, name: &'static str, method: Method, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(name);
        self.resource = self.resource.route(web::method(method).to(handler));
        self
    }

    /// To be registered.
    pub fn resource(self) -> Resource {
        let allowed = [&self.methods[..], &["OPTIONS"]].concat().join(", ");
        let other = move |request: HttpRequest| {
            let answer = other_method(request.method(), &allowed);
            async move { answer }
        };
        self.resource.default_service(web::to(other))
    }
}

/// What somebody is told who asks with a method that has no handler, where there are handlers for `allowed`.
pub fn other_method(method: &Method, allowed: &str) -> HttpResponse {
    let mut answer = if method == Method::OPTIONS {
        HttpResponse::NoContent().finish()
    } else {
        problem(StatusCode::METHOD_NOT_ALLOWED, &format!("this takes {allowed}"))
    };
    let allowed = HeaderValue::from_str(allowed).expect("names of methods");
    answer.headers_mut().insert(header::ALLOW, allowed);
    answer
}

/// Names all paths, for whoever asks for another one.
pub fn all_paths() -> String {
    let all = for_all().into_iter().chain(for_operators());
    let paths: Vec<_> = all.map(|served| served.path).collect();
    format!("operators find {} here", paths.join(", "))
}
