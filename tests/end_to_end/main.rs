//! End to end: the real server as a process, real sockets, one file per capability.

mod harness;

// The first in the alphabet, so that it is started first: it takes five minutes.
mod aging;
mod backup;
mod bad_frames;
mod bad_input;
mod behind_nginx;
mod benchmarks;
mod board_model;
mod browser;
mod cluster;
mod crash;
mod crowds;
#[cfg(feature = "faults")]
mod guards;
mod health;
mod http;
mod image;
mod kubernetes;
mod limits;
mod live_settings;
mod lost_store;
mod listening;
mod logs;
mod manual;
mod moving;
mod nginx;
mod one_binary;
mod observing;
mod operating;
mod operators;
mod security;
mod settings;
mod people;
mod people_commands;
mod page_arrival;
mod page_around;
mod page_board;
mod page_checks;
mod page_faults;
mod page_gates;
mod page_hands;
mod page_notices;
mod page_painting;
mod page_people;
mod page_screens;
mod page_start;
mod page_travel;
mod page_turned_away;
mod slow_clients;
mod storage;
mod streams;
mod talk;
