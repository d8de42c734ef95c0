//! Secrets handed to members.

pub mod parcel;
