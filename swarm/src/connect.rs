//! `swarm connect`: connections that only hold. How fast they open, what they cost.

use anyhow::Result;

use crate::args::ConnectArgs;
use crate::books::{Heard, PlainView};
use crate::client::{Next, Player};
use crate::crew::Desk;
use crate::faults::{Fault, Faults};
use crate::scene::Scene;
use crate::wire::{Message, Outgoing};

/// Hears what comes and says nothing.
#[derive(Debug)]
struct Holder {
    v2: bool,
    view: PlainView,
}

impl Player for Holder {
    fn v2(&self) -> bool {
        self.v2
    }

    fn update(&mut self, total: u32, id: u32, desk: &mut Desk) {
        desk.tally.updates += 1;
        let faults = &mut desk.tally.faults;
        if self.v2 {
            faults.note(Fault::OutsideWatch, || {
                format!("total {total}, id {id}; it watches nothing")
            });
        } else if self.view.update(total, id, &desk.run.books, faults) == Heard::Answer {
            faults.note(Fault::UnaskedAnswer, || format!("total {total}, id {id}"));
        }
    }

    fn message(&mut self, message: Message<'_>, desk: &mut Desk) {
        let faults = &mut desk.tally.faults;
        match message {
            Message::Total(total) if !self.v2 || !self.view.greeted() => {
                self.view.total(total, faults)
            }
            Message::Total(_) | Message::Other => {}
            Message::Pulse { .. } => desk.tally.pulses += 1,
            Message::Range { first, .. } => {
                faults.note(Fault::BadRange, || format!("unasked, from {first}"))
            }
            Message::Refused { id, .. } | Message::Update { id, .. } => {
                faults.note(Fault::UnaskedAnswer, || format!("id {id}"));
            }
        }
    }

    fn fill(&mut self, _desk: &mut Desk, _out: &mut Outgoing) -> Next {
        Next::Read
    }

    fn settled(&self, _desk: &Desk) -> bool {
        self.view.greeted()
    }
}

pub(crate) async fn run(args: ConnectArgs, mut scene: Scene) -> Result<(Scene, Faults)> {
    let v2 = args.v2;
    let crew = scene.gather(move |_| Holder { v2, view: PlainView::default() }).await?;
    let measured = scene
        .load(
            &crew,
            0.0,
            args.seconds,
            |_| false,
            |sums| format!("holding {}, {} lost", sums.open, sums.lost),
        )
        .await?;
    let held = crew.sums().open;
    scene.drain(&crew, |_| true).await?;
    let mut ended = crew.finish()?;
    scene.muster_out(&mut ended);
    for seat in ended.seats.iter().filter(|seat| !seat.player.view.greeted()) {
        ended.tally.faults.note(Fault::NoHello, || format!("connection {}", seat.index));
    }
    scene.report.count("connections_held", held);
    scene.report.latency("handshake", &ended.tally.handshake.percentiles());
    scene.report.count("updates_heard", ended.tally.updates);
    scene.report.count("pulses_heard", ended.tally.pulses);
    scene.report.count("bytes_read", ended.tally.bytes);
    scene.costs(&measured);
    Ok((scene, ended.tally.faults))
}
