//! What operators say to players: a notice on all pages, a message to one of them.

use std::{sync::PoisonError, time::Duration};

use actors::{player::SessionId, store::StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    Operators, envelope,
    model::{self, NOTICE, Notice, Severity},
};
use crate::wall::now_ms;

/// The topic of [`Message`].
pub(super) const SAY: &str = "connection.say";

/// What an operator says to one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// As [`SessionId`] is written.
    pub connection: String,
    /// Tells it from every other one.
    pub id: String,
    /// Plain text.
    pub text: String,
    /// How urgent it is.
    pub severity: Severity,
}

impl Operators {
    /// Puts up a notice on all pages, in place of the one there is, or takes that back. Ready when this node has
    /// sent it to its pages.
    ///
    /// # Errors
    /// As [`set_read_only`](Self::set_read_only).
    pub async fn set_notice(&self, notice: Option<Notice>) -> Result<(), StoreError> {
        self.keep(NOTICE.to_owned(), notice.map(|notice| model::written(&notice))).await?;
        self.refresh().await
    }

    /// Waits until the notice that the pages of this node show is over, however long it has been so.
    pub(super) async fn notice_is_over(&self) {
        let shown = self.shown_id();
        let notice = self.decisions.borrow().notice.clone();
        match notice.filter(|notice| Some(&notice.id) == shown.as_ref()) {
            // A millisecond later it is over by any clock.
            Some(Notice { until_ms: Some(until_ms), .. }) => {
                sleep(Duration::from_millis(until_ms.saturating_sub(now_ms()) + 1)).await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Takes a notice from all pages that has ended by itself.
    pub(super) async fn end_notice(&self) {
        let _one_after_the_other = self.applying.lock().await;
        let notice = self.decisions.borrow().notice.clone();
        if notice.is_some_and(|notice| notice.is_over(now_ms())) {
            self.show(None).await;
        }
    }

    /// The notice that pages show now.
    pub fn notice(&self) -> Option<Notice> {
        self.decisions.borrow().notice.clone().filter(|notice| !notice.is_over(now_ms()))
    }

    /// Has the pages of this node show a notice, in place of the one before, or none any more.
    pub(super) async fn show(&self, notice: Option<&Notice>) {
        let before = std::mem::replace(
            &mut *self.shown.lock().unwrap_or_else(PoisonError::into_inner),
            notice.map(|notice| notice.id.clone()),
        );
        let (id, data) = match (notice, before) {
            (Some(Notice { id, text, severity, until_ms, .. }), _) => {
                (id.clone(), json!({ "text": text, "severity": severity, "until": until_ms }))
            }
            (None, Some(id)) => (id, Value::Null),
            (None, None) => return,
        };
        let frame = envelope::frame("notice", &id, "*", &data);
        self.node.main().set_notice(frame, notice.is_some()).await;
    }

    fn shown_id(&self) -> Option<String> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says something to one connection, on whichever node it is; whether it is of this one and was sent it.
    ///
    /// # Errors
    /// If other nodes cannot be asked.
    pub async fn say(&self, message: &Message) -> Result<bool, StoreError> {
        match self.say_here(message).await {
            Some(told) => Ok(told),
            None => {
                let asked = self.bus.publish(SAY.to_owned(), model::written(message).into());
                asked.await.map(|()| false)
            }
        }
    }

    /// Says it to a connection of this node, if it is one; whether it was sent.
    pub(super) async fn say_here(&self, message: &Message) -> Option<bool> {
        let (process, session) = SessionId::read(&message.connection)?;
        if process != SessionId::process() {
            return None;
        }
        let data = json!({ "text": message.text, "severity": message.severity, "until": null });
        let to = format!("conn:{}", message.connection);
        let frame = envelope::frame("notice", &message.id, &to, &data);
        Some(self.node.send_frame(move |player| player.session == session, frame).await > 0)
    }
}
