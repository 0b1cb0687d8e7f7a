//! `GET /openapi.json`: the file of the operators' API, OpenAPI 3.1.
//!
//! Each handler says what it takes and answers (`#[utoipa::path]`). A new one gets an entry in [`routes`], that attribute,
//! and its name in the list below. What holds for many operations is added here: what the guard answers, what bodies of
//! JSON are refused for, and that answers from 400 on without a body of their own are [`Problem`]s.

use std::sync::LazyLock;

use actix_web::{HttpResponse, http::header};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::{
    audit, backup, blocks, connections, groups, health, limits, messages, metrics, notices, people,
    read_only, reports, rooms, routes, settings, stats, stream, trace,
};
use crate::problem::{self, Problem};

/// The file, which does not change while the server runs.
static FILE: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string_pretty(&file()).expect("it is JSON already"));

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Billion Checkboxes: operators' API",
        description = "What the listener at `admin.address` serves.\n\n\
            Every `GET` answers `HEAD`, too, but those of `/export`, `/trace` and `/ws/stats/stream`, which are streams. `OPTIONS` is answered with 204 and `Allow` at every path, and \
            any other method with 405 and `Allow`. A path that is not here is answered with 404.\n\n\
            Errors are problem details (RFC 9457).",
    ),
    tags(
        (name = "watching", description = "What the nodes do, and whether they are well"),
        (name = "players", description = "Who is connected, what they are told, and who is blocked"),
        (name = "people", description = "Users, their rooms, and keeping one out"),
        (name = "board", description = "Whether it takes checks, backups of it, boxes merged into it"),
        (name = "changes", description = "Who has changed what"),
        (name = "api", description = "This file"),
    ),
    paths(
        metrics::metrics,
        health::healthz,
        health::readyz,
        backup::store,
        limits::why,
        audit::audit,
        settings::settings,
        stats::stats,
        stream::stream,
        stats::health,
        read_only::show,
        read_only::begin,
        read_only::end,
        blocks::show,
        blocks::block,
        blocks::unblock,
        notices::show,
        notices::put_up,
        notices::take_back,
        messages::send,
        groups::history,
        groups::presence,
        people::disconnect,
        people::ban,
        people::unban,
        rooms::create,
        rooms::show,
        rooms::add,
        rooms::remove,
        reports::list,
        reports::close,
        connections::list,
        connections::end,
        trace::trace,
        backup::export,
        backup::import,
        openapi,
    ),
    components(schemas(Problem)),
)]
struct Api;

/// Describes this API.
#[utoipa::path(
    get, path = "/openapi.json", tag = "api", operation_id = "describe",
    responses((status = 200, description = "This file, OpenAPI 3.1.", body = std::collections::BTreeMap<String, Value>)),
)]
pub async fn openapi() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(FILE.as_str())
}

/// The whole of it.
fn file() -> Value {
    let mut file = serde_json::to_value(Api::openapi()).expect("it is made to be JSON");
    file["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `admin.token_file`; without that file this machine itself needs none",
        },
        "key": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "The same, for clients that cannot send `Authorization`",
        },
    });
    file["security"] = json!([{ "bearer": [] }, { "key": [] }]);
    let open = routes::for_all();
    for (path, operations) in file["paths"].as_object_mut().expect("there are paths") {
        let is_open = open.iter().any(|served| served.path == path);
        for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if is_open {
                operation["security"] = json!([]);
            } else {
                complete(operation, guarded());
            }
            if !operation["requestBody"]["content"]["application/json"].is_null() {
                complete(operation, judged());
            }
            as_problems(operation);
        }
    }
    file
}

/// What the guard answers.
fn guarded() -> [(&'static str, Value); 4] {
    let header = |schema: Value| json!({ "required": true, "schema": schema });
    let challenge = header(json!({ "type": "string", "const": "Bearer" }));
    let retry = json!({ "schema": { "type": "integer", "minimum": 1 } });
    [
        (
            "401",
            json!({
                "description": "There is no token, or none that is valid.",
                "headers": { "WWW-Authenticate": challenge },
            }),
        ),
        (
            "403",
            json!({
                "description": "The token is a viewer's, and this changes something, or shows what players do or write. Or there is no `admin.token_file`, \
                                and the request does not come from this machine itself. Or a page of another origin asks.",
            }),
        ),
        ("421", json!({ "description": "`Host` is no address, and no name of `admin.hosts`." })),
        (
            "429",
            json!({
                "description": "Too many wrong tokens from this address.",
                "headers": { "Retry-After": retry },
            }),
        ),
    ]
}

/// Why bodies of JSON are refused.
fn judged() -> [(&'static str, Value); 4] {
    [
        ("400", "The body is not JSON."),
        ("413", "The body has more than 16 KiB; of `/ws/message` 128 KiB."),
        ("415", "The body is not said to be JSON."),
        ("422", "The body is JSON, and says what cannot be done."),
    ]
    .map(|(status, why)| (status, json!({ "description": why })))
}

/// Adds `answers` to what the handler itself may answer.
fn complete(operation: &mut Value, answers: impl IntoIterator<Item = (&'static str, Value)>) {
    let responses = operation["responses"].as_object_mut().expect("every operation has answers");
    for (status, mut answer) in answers {
        if let Some(own) = responses.get(status).and_then(|own| own["description"].as_str()) {
            let both = format!("{own} Or: {}", answer["description"].as_str().unwrap_or_default());
            answer["description"] = both.into();
        }
        responses.insert(status.to_owned(), answer);
    }
}

/// Errors whose body is not described are problems.
fn as_problems(operation: &mut Value) {
    let responses = operation["responses"].as_object_mut().expect("every operation has answers");
    for (status, answer) in responses {
        if status.as_str() >= "400" && answer["content"].is_null() {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            answer["content"] = json!({ problem::MEDIA_TYPE: { "schema": schema } });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Paths and methods; OPTIONS and HEAD, which come by themselves, are not described one by one.
    fn described(file: &Value) -> BTreeSet<(String, String)> {
        let paths = file["paths"].as_object().expect("there are paths");
        let of_path = |(path, operations): (&String, &Value)| {
            let methods = operations.as_object().expect("operations").keys();
            let all = methods.map(|method| (path.clone(), method.to_uppercase()));
            all.collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    #[test]
    fn whatever_is_served_is_described_and_whatever_is_described_is_served() {
        let served = routes::for_all().into_iter().chain(routes::for_operators());
        let served: BTreeSet<_> = served
            .flat_map(|served| {
                let methods = served.methods.into_iter().filter(|method| *method != "HEAD");
                methods.map(move |method| (served.path.to_owned(), method.to_owned()))
            })
            .collect();
        assert_eq!(described(&file()), served);
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_says_what_it_does() {
        let file = file();
        assert_eq!(file["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
        let (mut ids, tags) = (BTreeSet::new(), &file["tags"]);
        let tags: Vec<_> = tags.as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
        for (path, operations) in file["paths"].as_object().expect("there are paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                let id = operation["operationId"].as_str().expect("an id");
                assert!(ids.insert(id), "{id} is there twice");
                assert!(operation["summary"].is_string(), "{method} {path}");
                assert!(tags.contains(&&operation["tags"][0]), "{method} {path}");
            }
        }
    }

    #[test]
    fn errors_are_problems_and_only_metrics_and_health_need_no_token() {
        let file = file();
        for (path, operations) in file["paths"].as_object().expect("there are paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                let is_open = ["/metrics", "/healthz", "/readyz"].contains(&&**path);
                assert_eq!(operation["security"] == json!([]), is_open, "{method} {path}");
                assert_eq!(operation["responses"]["401"].is_null(), is_open, "{method} {path}");
                for (status, answer) in operation["responses"].as_object().expect("answers") {
                    let content = answer["content"].as_object().expect("a body");
                    let is_problem = content.contains_key(problem::MEDIA_TYPE);
                    let says_why = ["/readyz", "/ws/health"].contains(&&**path) && status == "503";
                    assert_eq!(
                        is_problem,
                        &**status >= "400" && !says_why,
                        "{method} {path} {status}"
                    );
                }
            }
        }
    }
}
