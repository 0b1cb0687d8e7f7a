//! The obvious actor design: an actor for each connection inside the HTTP response, and a broadcaster that sends each
//! of them one message per update, which each encodes for itself. What sharing one encoded batch is compared with.
//!
//! No part of the product; `cargo xtask bench fanout` runs it.

mod protocol;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use actix::{
    Actor, ActorContext, Addr, Arbiter, AsyncContext, Context, Handler, Message, StreamHandler,
};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actix_web_actors::ws::{self, WebsocketContext};
use clap::Parser;

use protocol::{Ask, Board, Options};

/// Long enough to answer; nobody is connected any more when it counts.
const SHUTDOWN_S: u64 = 1;

type SharedBoard = Arc<Mutex<Board>>;

/// Session → broadcaster: tell me everything from now on.
#[derive(Message)]
#[rtype(result = "()")]
struct Join(Addr<Session>);

/// Session → broadcaster: nobody is here any more.
#[derive(Message)]
#[rtype(result = "()")]
struct Leave(Addr<Session>);

/// Session → broadcaster: a player checks a box.
#[derive(Message)]
#[rtype(result = "()")]
struct CheckBox(u32);

/// Broadcaster → session: how many boxes are checked, once it has joined.
#[derive(Message)]
#[rtype(result = "()")]
struct Welcomed(u32);

/// Broadcaster → session: a box was checked.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
struct BoxChecked {
    total: u32,
    id: u32,
}

/// Sends without regard to how many messages wait already, as the obvious design does.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the design that the ban is measured against"
)]
fn send<A, M>(to: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    A::Context: actix::dev::ToEnvelope<A, M>,
    M: Message<Result = ()> + Send + 'static,
{
    to.do_send(message);
}

/// Knows every session and tells each of every update.
struct Broadcaster {
    sessions: Vec<Addr<Session>>,
    board: SharedBoard,
    total: u32,
}

impl Actor for Broadcaster {
    type Context = Context<Self>;
}

impl Handler<Join> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Join(session): Join, _: &mut Self::Context) {
        send(&session, Welcomed(self.total));
        self.sessions.push(session);
    }
}

impl Handler<Leave> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Leave(session): Leave, _: &mut Self::Context) {
        self.sessions.retain(|known| *known != session);
    }
}

impl Handler<CheckBox> for Broadcaster {
    type Result = ();

    fn handle(&mut self, CheckBox(id): CheckBox, _: &mut Self::Context) {
        let checked = self.board.lock().unwrap_or_else(PoisonError::into_inner).check(id);
        let Some(total) = checked else { return };
        self.total = total;
        for session in &self.sessions {
            send(session, BoxChecked { total, id });
        }
    }
}

/// One connection.
struct Session {
    broadcaster: Addr<Broadcaster>,
    board: SharedBoard,
}

impl Actor for Session {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        send(&self.broadcaster, Join(ctx.address()));
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        send(&self.broadcaster, Leave(ctx.address()));
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Session {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, ctx: &mut Self::Context) {
        let asked = match message {
            Ok(ws::Message::Binary(payload)) => Ask::decode(&payload),
            Ok(ws::Message::Ping(payload)) => return ctx.pong(&payload),
            Ok(ws::Message::Pong(_)) => return,
            _ => return ctx.stop(),
        };
        match asked {
            Ok(Ask::Check(id)) => send(&self.broadcaster, CheckBox(id)),
            Ok(Ask::Range(first, last)) => {
                let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
                match board.range(first, last) {
                    Some(answer) => ctx.binary(answer),
                    None => ctx.stop(),
                }
            }
            Err(_) => ctx.stop(),
        }
    }
}

impl Handler<Welcomed> for Session {
    type Result = ();

    fn handle(&mut self, Welcomed(total): Welcomed, ctx: &mut Self::Context) {
        ctx.binary(total.to_le_bytes().to_vec());
    }
}

impl Handler<BoxChecked> for Session {
    type Result = ();

    fn handle(&mut self, BoxChecked { total, id }: BoxChecked, ctx: &mut Self::Context) {
        let mut update = total.to_le_bytes().to_vec();
        update.extend(id.to_le_bytes());
        ctx.binary(update);
    }
}

async fn connect(
    request: HttpRequest,
    body: web::Payload,
    broadcaster: web::Data<Addr<Broadcaster>>,
    board: web::Data<Mutex<Board>>,
) -> actix_web::Result<HttpResponse> {
    let session = Session { broadcaster: broadcaster.get_ref().clone(), board: board.into_inner() };
    ws::start(session, &request, body)
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let board = Arc::new(Mutex::new(Board::new(options.boxes)));
    let broadcaster = Broadcaster { sessions: Vec::new(), board: board.clone(), total: 0 };
    let broadcaster = Broadcaster::start_in_arbiter(&Arbiter::new().handle(), move |_| broadcaster);
    HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(broadcaster.clone()))
            .app_data(web::Data::from(board.clone()))
            .route("/ws", web::get().to(connect))
            .route("/readyz", web::get().to(HttpResponse::Ok))
    })
    .workers(options.threads)
    .shutdown_timeout(SHUTDOWN_S)
    .listen(options.listen()?)?
    .run()
    .await
}
