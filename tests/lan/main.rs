//! Real participants on a LAN of network namespaces: what one sends the others show, those who joined nothing are
//! left alone, people come and go, cables are pulled, doors are locked, and hostile packets change nothing.
//!
//! Needs root, or a kernel that lets users make namespaces; see `common::sandbox`.

#[path = "../common/mod.rs"]
mod common;

mod amiss;
mod chat;
mod command_line;
mod conference;
mod crowd;
mod damage;
mod demo;
mod doctor;
mod door;
mod files;
mod flood;
mod gallery;
mod hostile;
mod ipv6;
mod layers;
mod loss;
mod network;
mod protected;
mod stranger;
mod switch;
mod transport;
mod uftp;
mod voice;
