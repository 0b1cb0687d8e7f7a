//! `GET /leaderboard`: who has checked most, today or on another day, or in all.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use serde::Serialize;

use super::{Answer, Refused};
use crate::{
    people::{People, date, model::Leaderboard},
    routes::query::{expect_only, text},
};

#[derive(Debug, Serialize)]
struct Shown {
    of: &'static str,
    /// None: all days.
    day: Option<String>,
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    /// Equal totals have equal ranks.
    rank: usize,
    id: String,
    name: Option<String>,
    colour: Option<String>,
    total: u64,
}

/// The first hundred.
pub async fn show(request: HttpRequest, people: web::Data<People>) -> Answer {
    let bad = |why: String| Refused::new(StatusCode::BAD_REQUEST, why.trim_end());
    let (of, day) = asked(request.query_string()).map_err(bad)?;
    let lines = people.leaderboards.show(of, day).await?;
    let mut entries: Vec<Entry> = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let rank = entries.last().filter(|last| last.total == line.total);
        entries.push(Entry {
            rank: rank.map_or(at + 1, |last| last.rank),
            id: line.id.to_string(),
            name: line.name.clone(),
            colour: line.colour.clone(),
            total: line.total,
        });
    }
    let of = match of {
        Leaderboard::Players => "players",
        Leaderboard::Teams => "teams",
    };
    let shown = Shown { of, day: day.map(date::written), entries };
    // The same for everybody, and as old as it is here.
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-cache")).json(shown))
}

fn asked(query: &str) -> Result<(Leaderboard, Option<i32>), String> {
    expect_only(query, &["of", "day"])?;
    let of = match text(query, "of")?.as_deref() {
        None | Some("players") => Leaderboard::Players,
        Some("teams") => Leaderboard::Teams,
        Some(_) => return Err("of is players or teams".to_owned()),
    };
    let day = match text(query, "day")? {
        None => None,
        Some(day) => Some(date::read(&day).ok_or("day is a date as in 2026-11-30")?),
    };
    Ok((of, day))
}
