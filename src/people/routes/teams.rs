//! Teams: made, shown, changed, joined and left.

use actix_web::{HttpRequest, http::StatusCode, web};
use actors::{channels::Group, player::UserId};
use serde::{Deserialize, Serialize};

use super::{Answer, Nothing, Refused, answer, done, known};
use crate::{
    people::{
        People,
        model::{GroupId, Team},
        request::{self, Command},
    },
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
async fn shown(people: &People, team: Team, reader: Option<UserId>) -> Answer {
    let groups = &people.groups;
    let members = groups.team_members(team.id, MEMBERS_SHOWN).await?.into_iter();
    let members = members.map(|member| Member { user: member.user.to_string(), name: member.name });
    let own = match reader {
        Some(reader) => groups.team_of(reader).await?,
        None => None,
    };
    let is_member = own.is_some_and(|own| own.id == team.id);
    let shown = Shown {
        id: team.id.to_string(),
        members: members.collect(),
        total: groups.team_total(team.id).await?,
        name: team.name,
        colour: team.colour,
        invite: is_member.then_some(team.invite),
    };
    Ok(answer(&shown, None, false))
}

/// Makes a team.
pub async fn create(command: Command<NewTeam>, people: web::Data<People>) -> Answer {
    let user = known(command.from)?.user;
    let NewTeam { name, colour } = command.body;
    let team = people.groups.create_team(user, &name, &colour, now_ms()).await?;
    shown(&people, team, Some(user)).await
}

/// Shows a team to anybody.
pub async fn show(request: HttpRequest, people: web::Data<People>) -> Answer {
    let team = named(&request, &people).await?;
    let reader = request::of(&request).valid().map(|identity| identity.user);
    shown(&people, team, reader).await
}

/// Gives a team another name or colour.
pub async fn change(
    request: HttpRequest,
    command: Command<Changes>,
    people: web::Data<People>,
) -> Answer {
    let user = known(command.from)?.user;
    let before = named(&request, &people).await?;
    let name = command.body.name.unwrap_or(before.name);
    let colour = command.body.colour.unwrap_or(before.colour);
    let team = people.groups.change_team(user, before.id, &name, &colour).await?;
    shown(&people, team, Some(user)).await
}

/// Joins the team that an invitation is of.
pub async fn join(command: Command<Invitation>, people: web::Data<People>) -> Answer {
    let user = known(command.from)?.user;
    let team = people.groups.join_team(user, &command.body.invite, now_ms()).await?;
    shown(&people, team, Some(user)).await
}

/// Leaves the team that one is in; whoever is in none is answered likewise.
pub async fn leave(command: Command<Nothing>, people: web::Data<People>) -> Answer {
    let user = known(command.from)?.user;
    if let Some(team) = people.groups.team_of(user).await? {
        people.groups.leave_team(user).await?;
        people.left(user, Group::Team(team.id.get())).await;
    }
    Ok(done())
}

/// The team that a path names.
async fn named(request: &HttpRequest, people: &People) -> Result<Team, Refused> {
    let id = request.match_info().get("id").and_then(GroupId::read);
    let found = match id {
        Some(id) => people.groups.team(id).await?,
        None => None,
    };
    found.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "there is no such team"))
}
