//! Teams: made, shown, changed, joined and left.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::{channels::Group, player::UserId};
use serde::{Deserialize, Serialize};

use super::{answer, away, done, known};
use crate::{
    people::{
        People,
        groups::GroupError,
        model::{GroupId, Team},
        request::{self, Command},
    },
    problem::problem,
    wall::now_ms,
};

/// Members of a team that are shown.
const MEMBERS_SHOWN: u64 = 200;

/// A new team.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    name: String,
    colour: String,
}

/// What is to be changed of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    name: Option<String>,
    colour: Option<String>,
}

/// Who is invited.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    invite: String,
}

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    name: String,
    colour: String,
    /// The first ones to join.
    members: Vec<Member>,
    /// First checks of its members, each while it was one.
    total: u64,
    /// For its members alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    invite: Option<String>,
}

#[derive(Debug, Serialize)]
struct Member {
    user: String,
    name: Option<String>,
}

/// A team as `reader` sees it.
async fn shown(people: &People, team: Team, reader: Option<UserId>) -> HttpResponse {
    let read = async {
        let members = people.groups.team_members(team.id, MEMBERS_SHOWN).await?;
        let is_member = match reader {
            Some(reader) => {
                people.groups.team_of(reader).await?.is_some_and(|own| own.id == team.id)
            }
            None => false,
        };
        Ok::<_, GroupError>((members, is_member, people.groups.team_total(team.id).await?))
    };
    match read.await {
        Ok((members, is_member, total)) => {
            let members = members.into_iter();
            let members =
                members.map(|member| Member { user: member.user.to_string(), name: member.name });
            let shown = Shown {
                id: team.id.to_string(),
                name: team.name,
                colour: team.colour,
                members: members.collect(),
                total,
                invite: is_member.then_some(team.invite),
            };
            answer(&shown, None, false)
        }
        Err(error) => refusal(&error),
    }
}

/// Makes a team.
pub async fn create(command: Command<NewTeam>, people: web::Data<People>) -> HttpResponse {
    let user = match known(command.from) {
        Ok(identity) => identity.user,
        Err(refusal) => return refusal,
    };
    let NewTeam { name, colour } = command.body;
    match people.groups.create_team(user, &name, &colour, now_ms()).await {
        Ok(team) => shown(&people, team, Some(user)).await,
        Err(error) => refusal(&error),
    }
}

/// Shows a team to anybody.
pub async fn show(request: HttpRequest, people: web::Data<People>) -> HttpResponse {
    let Some(id) = named(&request) else { return unknown() };
    let reader = request::of(&request).valid().map(|identity| identity.user);
    match people.groups.team(id).await {
        Ok(Some(team)) => shown(&people, team, reader).await,
        Ok(None) => unknown(),
        Err(error) => refusal(&error),
    }
}

/// Gives a team another name or colour.
pub async fn change(
    request: HttpRequest,
    command: Command<Changes>,
    people: web::Data<People>,
) -> HttpResponse {
    let user = match known(command.from) {
        Ok(identity) => identity.user,
        Err(refusal) => return refusal,
    };
    let Some(id) = named(&request) else { return unknown() };
    let before = match people.groups.team(id).await {
        Ok(Some(team)) => team,
        Ok(None) => return unknown(),
        Err(error) => return refusal(&error),
    };
    let name = command.body.name.unwrap_or(before.name);
    let colour = command.body.colour.unwrap_or(before.colour);
    match people.groups.change_team(user, id, &name, &colour).await {
        Ok(team) => shown(&people, team, Some(user)).await,
        Err(error) => refusal(&error),
    }
}

/// Joins the team that an invitation is of.
pub async fn join(command: Command<Invitation>, people: web::Data<People>) -> HttpResponse {
    let user = match known(command.from) {
        Ok(identity) => identity.user,
        Err(refusal) => return refusal,
    };
    match people.groups.join_team(user, &command.body.invite, now_ms()).await {
        Ok(team) => shown(&people, team, Some(user)).await,
        Err(error) => refusal(&error),
    }
}

/// Leaves the team that one is in; whoever is in none is answered likewise.
pub async fn leave(command: Command<Nothing>, people: web::Data<People>) -> HttpResponse {
    let user = match known(command.from) {
        Ok(identity) => identity.user,
        Err(refusal) => return refusal,
    };
    let before = match people.groups.team_of(user).await {
        Ok(Some(team)) => team.id,
        Ok(None) => return done(),
        Err(error) => return refusal(&error),
    };
    match people.groups.leave_team(user).await {
        Ok(()) => {
            people.left(user, Group::Team(before.get())).await;
            done()
        }
        Err(error) => refusal(&error),
    }
}

/// The team that a path names.
fn named(request: &HttpRequest) -> Option<GroupId> {
    request.match_info().get("id").and_then(GroupId::read)
}

fn unknown() -> HttpResponse {
    problem(StatusCode::NOT_FOUND, "there is no such team")
}

/// What an error of the service is over HTTP.
fn refusal(error: &GroupError) -> HttpResponse {
    let status = match error {
        GroupError::Database(trouble) => return away(trouble),
        GroupError::Name(_) | GroupError::Colour | GroupError::TooLong => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        GroupError::NameTaken
        | GroupError::InTeam
        | GroupError::TooManyRooms
        | GroupError::Full => StatusCode::CONFLICT,
        GroupError::NoAccount | GroupError::NotMaker => StatusCode::FORBIDDEN,
        GroupError::Unknown => StatusCode::NOT_FOUND,
        GroupError::TooManyReports => StatusCode::TOO_MANY_REQUESTS,
    };
    problem(status, &error.to_string())
}
