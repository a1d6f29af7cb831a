//! The two sessions against each other, in virtual time, over models of a site and of a vault.
//!
//! [`site_model`] and [`vault_model`] are what is durable on either side, [`link`] is one connection between
//! them with everything that is under way in it, [`world`] lets things happen in a seeded order. The rules are
//! checked where they could be broken: at every message, and when everything is quiet.

mod directed;
mod link;
mod lost;
mod policies;
mod random;
mod resend;
mod settled;
mod site_model;
mod vault_model;
mod world;
