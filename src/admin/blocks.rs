//! `GET`, `POST` and `DELETE /blocks`: addresses and networks that are refused on all nodes.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{change::Change, door::Caller, judge_reason};
use crate::{
    operators::{Operators, model::Block},
    problem::problem,
    routes::query::expect_only,
    settings::network,
    wall::now_ms,
};

/// Most blocks at once: some 150 bytes each, which every node reads whenever one changes.
const BLOCKS_MAX: usize = 5000;

/// What `POST` may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// An address, or a network as in `203.0.113.0/24`.
    network: String,
    /// For other operators.
    #[serde(default)]
    reason: String,
    /// Seconds until it ends by itself.
    for_s: Option<u64>,
}

/// Those that have not ended.
fn shown(operators: &Operators) -> Value {
    let (decisions, now_ms) = (operators.decisions(), now_ms());
    let blocks: Vec<_> = decisions.blocks.iter().filter(|block| !block.is_over(now_ms)).collect();
    json!({ "blocks": blocks })
}

/// `GET /blocks`.
pub async fn show(operators: web::Data<Operators>) -> HttpResponse {
    HttpResponse::Ok().json(shown(&operators))
}

/// `POST /blocks`: after the answer this node serves nobody there any more, and within a second none does. One of the
/// same network is replaced.
pub async fn block(
    caller: Caller,
    wanted: web::Json<Wanted>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let Wanted { network: text, reason, for_s } = wanted.into_inner();
    let network = match network(&text).and_then(|network| judge_reason(&reason).map(|()| network)) {
        Ok(network) => network,
        Err(why) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
    };
    let now_ms = now_ms();
    let decisions = operators.decisions();
    let others =
        decisions.blocks.iter().filter(|block| block.network != network && !block.is_over(now_ms));
    if others.count() >= BLOCKS_MAX {
        let text = format!(
            "there are {BLOCKS_MAX} blocks, which is as many as are kept: block larger networks"
        );
        return problem(StatusCode::CONFLICT, &text);
    }
    let until_ms = for_s.map(|seconds| now_ms.saturating_add(seconds.saturating_mul(1000)));
    let what = json!({ "network": network, "reason": reason, "until_ms": until_ms });
    let block = Block { network, reason, until_ms, since_ms: now_ms, by: caller.name.clone() };
    let done = change.make(&caller, "block", what, async || operators.block(&block).await);
    match done.await {
        Ok(()) => HttpResponse::Ok().json(block),
        Err(refusal) => refusal,
    }
}

/// `DELETE /blocks?network=…`.
pub async fn unblock(
    caller: Caller,
    request: HttpRequest,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let network = match named(request.query_string()) {
        Ok(network) => network,
        Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
    };
    if !operators.decisions().blocks.iter().any(|block| block.network == network) {
        return problem(
            StatusCode::NOT_FOUND,
            "there is no block of exactly this network: see GET /blocks",
        );
    }
    let what = json!({ "network": network });
    let done = change.make(&caller, "unblock", what, async || operators.unblock(network).await);
    match done.await {
        Ok(()) => HttpResponse::Ok().json(shown(&operators)),
        Err(refusal) => refusal,
    }
}

/// The one network that a query names.
fn named(query: &str) -> Result<IpNet, String> {
    expect_only(query, &["network"]).map_err(|told| told.trim_end().to_owned())?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    match (pairs.next(), pairs.next()) {
        (Some((_, text)), None) => network(&text),
        _ => Err("name one network: /blocks?network=203.0.113.0/24".to_owned()),
    }
}
