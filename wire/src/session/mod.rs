//! The replication session: who says what when, without clock, I/O or async.
//!
//! [`site::SiteSession`] decides what a site sends, [`hub::HubSession`] what a hub answers. Shells feed
//! them messages and facts ("these parts are durable") and carry out what they put out; the simulator
//! does the same over a model of the network. `docs/protocol.md` has the exchange in prose.
//!
//! What both rest on: a ledger has one writer and dense numbers, so becoming equal is exchanging
//! `(next, head)` and the ranges held; everything else is wanted. Ledgers of which both believe that nothing is left
//! to exchange are one digest ([`settled`]). The hub tells what it has once per
//! connection, the site pushes the rest; after a cut the hub tells again. Nothing else is remembered, so
//! a cut at any moment costs what was in flight and no more.

mod heard;
pub mod hub;
mod ledger;
mod offering;
mod order;
pub mod recall;
pub mod settled;
pub mod site;

#[cfg(test)]
mod tests;
