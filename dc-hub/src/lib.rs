//! The hub: takes in what many sites record, keeps it, serves it.
//!
//! | module | holds | never knows |
//! |---|---|---|
//! | [`config`] | the TOML, its checks | what runs with it |
//! | [`journal`] | parts of unfinished segments, group-synced | archives, networks |
//! | [`vault`] | archive and journal as one; puts segments together | networks |
//! | [`salvage`] | enters tails that nobody will close | networks |
//! | [`downlink`] | sites' connections | HTTP |
//! | [`standby`] | what this node does for sites whose recorder may be lost | who decided it |

pub mod api;
pub mod config;
pub mod downlink;
pub mod journal;
pub mod salvage;
pub mod standby;
pub mod vault;
