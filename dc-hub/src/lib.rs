//! The hub: takes in what many sites record, keeps it, serves it.
//!
//! | module | holds | never knows |
//! |---|---|---|
//! | [`config`] | the TOML, its checks | what runs with it |
//! | [`journal`] | parts of unfinished segments, group-synced | archives, networks |
//! | [`vault`] | archive and journal as one; puts segments together | networks |
//! | [`salvage`] | enters tails that nobody will close | networks |
//! | [`beats`] | what sites' recorders say of themselves, typed | what silence means |
//! | [`downlink`] | sites' connections | HTTP |

pub mod api;
pub mod beats;
pub mod config;
pub mod downlink;
pub mod journal;
pub mod salvage;
pub mod vault;
