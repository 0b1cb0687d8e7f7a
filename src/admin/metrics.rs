//! `/metrics`, as OpenMetrics for those who ask for it and as Prometheus' older text
//! format for all others: Telegraf, Go's expfmt and many agents give up at what only OpenMetrics has.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use prometheus_client::{encoding::text::encode, registry::Registry};

use crate::problem::problem;

/// Counts all there is to count.
///
/// In Prometheus' text format 0.0.4, or as OpenMetrics for those whose `Accept` asks for it.
#[utoipa::path(
    get, path = "/metrics", tag = "watching", operation_id = "scrape",
    responses((status = 200, description = "All metrics of this node.", content(
        (String = "text/plain"),
        (String = "application/openmetrics-text"),
    ))),
)]
pub async fn metrics(request: HttpRequest, registry: web::Data<Registry>) -> HttpResponse {
    let mut open = String::new();
    if let Err(error) = encode(&mut open, &registry) {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
    }
    let lines = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    let accepted: Vec<_> = lines.flat_map(|line| line.split(',')).collect();
    let (media, body) = if prefers_open(&accepted) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", open)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", plain(&open))
    };
    HttpResponse::Ok().content_type(media).insert_header((header::VARY, "accept")).body(body)
}

/// Whether OpenMetrics is named and wanted at least as much as plain text.
fn prefers_open(accepted: &[&str]) -> bool {
    let weight = |wanted: &str| {
        let of = accepted.iter().filter_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            parts.next().filter(|media| media.eq_ignore_ascii_case(wanted))?;
            let given = parts.find_map(|part| part.strip_prefix("q="));
            Some(given.map_or(1.0, |given| given.parse::<f32>().unwrap_or(0.0)))
        });
        of.reduce(f32::max)
    };
    let plain = ["text/plain", "text/*", "*/*"].into_iter().find_map(weight).unwrap_or(0.0);
    weight("application/openmetrics-text").is_some_and(|open| open > 0.0 && open >= plain)
}

/// The same in the text format 0.0.4: families are named as their samples are, `info` is a gauge, and
/// there are neither units nor an end mark.
fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            // As it is: none of our metrics has exemplars.
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let Some((keyword, rest)) = comment.split_once(' ') else { continue };
        let (name, said) = rest.split_once(' ').unwrap_or((rest, ""));
        match keyword {
            "HELP" => help = said,
            "TYPE" => {
                let (suffix, kind) = match said {
                    "counter" => ("_total", said),
                    "info" => ("_info", "gauge"),
                    "gauge" | "histogram" | "summary" => ("", said),
                    _ => ("", "untyped"),
                };
                text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
                text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
                help = "";
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str) -> bool {
        prefers_open(&accept.split(',').collect::<Vec<_>>())
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        for open in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0, text/plain;q=0.5",
            "text/plain;q=0.2,*/*;q=0.1,application/openmetrics-text;version=0.0.1;q=0.4",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ] {
            assert!(chosen(open), "{open}");
        }
        for plain in [
            "",
            "*/*",
            "text/plain",
            "text/plain;version=0.0.4",
            "text/html, */*;q=0.8",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.1, text/plain",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
        ] {
            assert!(!chosen(plain), "{plain}");
        }
    }

    #[test]
    fn the_older_format_has_nothing_that_only_openmetrics_knows() {
        let open = "# HELP a_build Version.\n# TYPE a_build info\na_build_info{version=\"1 # 2\"} 1\n\
                    # HELP a_ranges Ranges.\n# TYPE a_ranges counter\na_ranges_total 3\n\
                    # HELP a_s_seconds Time.\n# TYPE a_s_seconds histogram\n# UNIT a_s_seconds seconds\n\
                    a_s_seconds_sum 0.5\na_s_seconds_bucket{le=\"+Inf\"} 1\n# EOF\n";
        let wanted = "# HELP a_build_info Version.\n# TYPE a_build_info gauge\n\
                      a_build_info{version=\"1 # 2\"} 1\n\
                      # HELP a_ranges_total Ranges.\n# TYPE a_ranges_total counter\na_ranges_total 3\n\
                      # HELP a_s_seconds Time.\n# TYPE a_s_seconds histogram\n\
                      a_s_seconds_sum 0.5\na_s_seconds_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(plain(open), wanted);
    }
}
