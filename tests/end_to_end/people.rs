//! People: who somebody is to the server, and what they may do with that.

mod cookies;
mod sign_outs;
mod tickets;
