//! `GET`, `POST` and `DELETE /blocks`: addresses and networks that are refused on all nodes.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    door::Caller,
    judge_reason,
    lasting::Lasting,
};
use crate::{
    object::Object,
    operators::{Operators, model::Block},
    problem::problem,
    routes::query::{expect_only, text},
    settings::network,
    wall::now_ms,
};

/// Shortest prefixes of IPv4 and IPv6 that are blocked: what the largest providers have, and a mistyped 0 is nobody's.
const PREFIX_MIN: (u8, u8) = (8, 16);

/// Most blocks at once: some 150 bytes each, which every node reads whenever one changes.
const BLOCKS_MAX: usize = 5000;

/// What is to be blocked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBlock)]
pub struct Wanted {
    /// An address, or a network as in `203.0.113.0/24`, without bits behind its prefix.
    #[schema(examples("203.0.113.0/24", "2001:db8::/64", "203.0.113.7"))]
    network: String,
    /// For other operators: one line.
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", examples("a bot"))]
    reason: String,
    /// Seconds until it ends by itself. Without them it lasts until an operator ends it.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 315_360_000, examples(3600))]
    for_s: Option<Lasting>,
}

/// The blocks in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct Blocks {
    /// In the order of their networks.
    blocks: Vec<Block>,
}

/// Those that have not ended.
fn shown(operators: &Operators) -> Blocks {
    let (decisions, now_ms) = (operators.decisions(), now_ms());
    let blocks = decisions.blocks.iter().filter(|block| !block.is_over(now_ms));
    Blocks { blocks: blocks.cloned().collect() }
}

/// Lists the blocks in force.
#[utoipa::path(
    get, path = "/blocks", tag = "players", operation_id = "listBlocks",
    responses((status = 200, description = "Those that have not ended.", body = Blocks)),
)]
pub async fn show(operators: web::Data<Operators>) -> HttpResponse {
    HttpResponse::Ok().json(shown(&operators))
}

/// Blocks an address or a network, on all nodes.
///
/// After the answer this node serves nobody there any more, connections that were open included, and within a second
/// none does. A block of the same network is replaced. Who is in `limits.allow` is never blocked.
#[utoipa::path(
    post, path = "/blocks", tag = "players", operation_id = "block",
    request_body = Wanted,
    responses(
        (status = 200, description = "The block is in force.", body = Block),
        (status = 409, description = "There are as many blocks as are kept, 5000."),
        Unmade,
    ),
)]
pub async fn block(
    caller: Caller,
    wanted: web::Json<Object<Wanted>>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let Wanted { network: text, reason, for_s } = wanted.into_inner().0;
    let network = match network(&text).and_then(|network| judge_reason(&reason).map(|()| network)) {
        Ok(network) => network,
        Err(why) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
    };
    let least = if network.addr().is_ipv4() { PREFIX_MIN.0 } else { PREFIX_MIN.1 };
    if network.prefix_len() < least {
        let text = format!(
            "a network of at least /{least}: who wants nobody to play makes the board read-only"
        );
        return problem(StatusCode::UNPROCESSABLE_ENTITY, &text);
    }
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
    let until_ms = for_s.map(|lasting| lasting.until_ms(now_ms));
    let what = json!({ "network": network, "reason": reason, "until_ms": until_ms });
    let block = Block { network, reason, until_ms, since_ms: now_ms, by: caller.name.clone() };
    let done = change.make(&caller, "block", what, async || operators.block(&block).await);
    match done.await {
        Ok(()) => HttpResponse::Ok().json(block),
        Err(refusal) => refusal,
    }
}

/// Ends the block of a network, on all nodes.
#[utoipa::path(
    delete, path = "/blocks", tag = "players", operation_id = "unblock",
    params(("network" = String, Query, description = "Exactly the network of the block", example = "203.0.113.0/24")),
    responses(
        (status = 200, description = "Those that are left.", body = Blocks),
        (status = 400, description = "The query names no network, or something else."),
        (status = 404, description = "There is no block of exactly this network."),
        Unmade,
    ),
)]
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
    match text(query, "network").map_err(|told| told.trim_end().to_owned())? {
        Some(text) => network(&text),
        None => Err("name one network: /blocks?network=203.0.113.0/24".to_owned()),
    }
}
