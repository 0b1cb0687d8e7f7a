//! HTTP requests of both listeners, by route: how many, how they were answered, and how long the answer took. Counts
//! only; decides nothing.
//!
//! A request is counted under the pattern that its route was registered with, never under the path it asked for, so no
//! client can create a label. Each worker keeps the counters it has used, and asks the families, which take a lock, once
//! for each of them.

use std::{
    cell::{OnceCell, RefCell},
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{Error, body::MessageBody, dev::ServiceResponse, http::Method};
use actors::stats::Buckets;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// The pattern of a route, as app data of its resource.
#[derive(Debug, Clone, Copy)]
pub struct Route(pub &'static str);

/// The route of requests that reached none: no such path, refused by a limit, asked for under another host name.
const NONE: Route = Route("none");

/// Labels of [`Class`] and of the first digit of a status.
const METHODS: [&str; 3] = ["read", "write", "other"];
const STATUSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds in seconds: most answers come from memory within 100 µs; a page gives up after 10 s.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Labels of a count: listener, route, method, status.
type OfRequest = [(&'static str, &'static str); 4];
/// Labels of a time: listener, route.
type OfRoute = [(&'static str, &'static str); 2];

/// What all workers have counted.
#[derive(Debug, Clone)]
pub struct Traffic {
    requests: Family<OfRequest, Counter>,
    seconds: Family<OfRoute, Histogram, Buckets>,
}

impl Default for Traffic {
    fn default() -> Self {
        let buckets: Buckets = || Histogram::new(SECONDS);
        Self { requests: Family::default(), seconds: Family::new_with_constructor(buckets) }
    }
}

impl Traffic {
    /// Adds the metrics to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "HTTP requests answered, by listener, route, class of method and class of status",
            self.requests.clone(),
        );
        registry.register(
            "http_request_seconds",
            "From the head of a request until the head of its answer, by listener and route",
            self.seconds.clone(),
        );
    }

    /// The counts of one worker of `listener`.
    pub fn of(&self, listener: &'static str) -> Rc<Listener> {
        Rc::new(Listener { traffic: self.clone(), name: listener, routes: RefCell::default() })
    }
}

/// Kind of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// GET and HEAD.
    Read,
    /// Methods that change something.
    Write,
    /// OPTIONS and methods that nobody has heard of.
    Other,
}

impl From<&Method> for Class {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE => Self::Write,
            _ => Self::Other,
        }
    }
}

/// The counts of one worker.
pub struct Listener {
    traffic: Traffic,
    name: &'static str,
    /// Those of the routes that were asked for; a dozen at most.
    routes: RefCell<Vec<(&'static str, Rc<Counts>)>>,
}

/// The counts of one route.
struct Counts {
    seconds: Histogram,
    requests: [[OnceCell<Counter>; STATUSES.len()]; METHODS.len()],
}

impl Listener {
    /// Counts a request of `class` once `answer` is there.
    pub fn counting<B, F>(
        self: &Rc<Self>,
        class: Class,
        answer: F,
    ) -> impl Future<Output = F::Output> + use<B, F>
    where
        B: MessageBody,
        F: Future<Output = Result<ServiceResponse<B>, Error>>,
    {
        let (listener, began) = (self.clone(), Instant::now());
        async move {
            let answered = answer.await;
            let (route, status) = match &answered {
                Ok(answered) => {
                    let route = answered.request().app_data::<Route>().copied();
                    (route.unwrap_or(NONE), answered.status())
                }
                Err(error) => (NONE, error.as_response_error().status_code()),
            };
            listener.count(route, class, status.as_u16(), began.elapsed());
            answered
        }
    }

    fn count(&self, Route(route): Route, class: Class, status: u16, took: Duration) {
        let counts = self.route(route);
        counts.seconds.observe(took.as_secs_f64());
        let method = class as usize;
        let status = Some(usize::from(status / 100)).filter(|digit| *digit < STATUSES.len());
        let status = status.unwrap_or(0);
        let counter = counts.requests[method][status].get_or_init(|| {
            let (method, status) = (METHODS[method], STATUSES[status]);
            let labels =
                [("listener", self.name), ("route", route), ("method", method), ("status", status)];
            self.traffic.requests.get_or_create_owned(&labels)
        });
        counter.inc();
    }

    fn route(&self, route: &'static str) -> Rc<Counts> {
        let mut routes = self.routes.borrow_mut();
        if let Some((_, counts)) = routes.iter().find(|(known, _)| *known == route) {
            return counts.clone();
        }
        let labels = [("listener", self.name), ("route", route)];
        let seconds = self.traffic.seconds.get_or_create_owned(&labels);
        let counts = Rc::new(Counts { seconds, requests: Default::default() });
        routes.push((route, counts.clone()));
        counts
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App, HttpResponse,
        dev::Service as _,
        test::{TestRequest, call_service, init_service},
        web,
    };
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[actix_rt::test]
    async fn requests_are_counted_by_route_and_never_by_path() {
        let traffic = Traffic::default();
        let listener = traffic.of("players");
        let seen = listener.clone();
        let file = web::resource("/static/{file}").app_data(Route("/static/{file}"));
        let app = App::new()
            .service(file.route(web::get().to(HttpResponse::Ok)))
            .default_service(web::to(HttpResponse::NotFound))
            .wrap_fn(move |request, app| seen.counting(request.method().into(), app.call(request)));
        let app = init_service(app).await;
        for path in ["/static/a", "/static/b", "/made-up-1", "/made-up-2"] {
            call_service(&app, TestRequest::get().uri(path).to_request()).await;
        }
        call_service(&app, TestRequest::post().uri("/static/a").to_request()).await;
        call_service(&app, TestRequest::default().method(Method::TRACE).to_request()).await;

        let mut registry = Registry::default();
        traffic.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes everything");
        let of = |route: &str, method: &str, status: &str| {
            format!(
                "http_requests_total{{listener=\"players\",route=\"{route}\",method=\"{method}\",\
                 status=\"{status}\"}} "
            )
        };
        for (line, count) in [
            (of("/static/{file}", "read", "2xx"), 2),
            (of("/static/{file}", "write", "4xx"), 1),
            (of("none", "read", "4xx"), 2),
            (of("none", "other", "4xx"), 1),
        ] {
            assert!(text.contains(&format!("{line}{count}\n")), "{line}{count}:\n{text}");
        }
        assert_eq!(text.matches("\nhttp_requests_total{").count(), 4, "{text}");
        assert!(!text.contains("made-up"), "{text}");
        let timed = "http_request_seconds_count{listener=\"players\",route=\"/static/{file}\"} 3\n";
        assert!(text.contains(timed), "{text}");
    }

    #[test]
    fn a_status_that_nobody_has_heard_of_is_counted_as_other() {
        let traffic = Traffic::default();
        let listener = traffic.of("players");
        listener.count(NONE, Class::Read, 999, Duration::ZERO);
        listener.count(NONE, Class::Read, 101, Duration::ZERO);
        let count = |status| {
            let labels = [
                ("listener", "players"),
                ("route", "none"),
                ("method", "read"),
                ("status", status),
            ];
            traffic.requests.get(&labels).map(|counter| counter.get())
        };
        assert_eq!([count("other"), count("1xx"), count("2xx")], [Some(1), Some(1), None]);
    }
}
