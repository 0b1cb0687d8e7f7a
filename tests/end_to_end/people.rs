//! People: who somebody is to the server, and what they may do with that.

mod accounts;
mod cookies;
mod sign_outs;
mod tickets;
mod totals;
