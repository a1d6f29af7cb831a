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
//! | [`peers`] | the other hub nodes' connections | what they ask and say |
//! | [`quorum`] | drives what decides, with all of these | what a silence means |
//! | [`drills`] | drills: asked for, followed, measured, told of | what a silence means |
//! | [`holds`] | what people asked to be kept: obeyed in the vault, asked for and shown | when a site confirms |
//! | [`scrubs`] | scrubs of sites that people ask for here | connections |
//! | [`bring`] | what standbys recorded here → the node that keeps the site's vault | why this node recorded |
//! | [`restore`] | a control log begun anew from a saved one | a running node |
//! | [`node`] | puts all of them together | |
//! | [`standby`] | what this node does for sites whose recorder may be lost | who decided it |

pub mod api;
pub mod asked;
pub mod beats;
pub mod bring;
pub mod config;
pub mod downlink;
pub mod drills;
pub mod holds;
pub mod journal;
pub mod node;
pub mod peers;
pub mod policies;
pub mod quorum;
pub mod restore;
pub mod salvage;
pub mod scrubs;
pub mod standby;
pub mod vault;
