//! Decisions as turns of a story.

use decide::control::{Call, Closed, Event, Ground};

/// An event of the log, if it is a turn.
pub fn turn(event: &Event) -> Option<String> {
    Some(match event {
        Event::Stage { site, from, to } => format!("{site}: {from:?} -> {to:?}"),
        Event::Authority { site, epoch, host, why } => {
            format!("{site}: {host} has authority, epoch {}, {}", epoch.n, ground(&why.ground))
        }
        Event::Armed { site, host: Some(host), .. } => format!("{site}: {host} is armed"),
        Event::Armed { site, host: None, .. } => format!("{site}: nobody could be armed"),
        Event::RoundClosed { site, closed: Closed::Heard { by, .. }, .. } => format!("{site}: heard by {by}"),
        Event::Assisting { site, cameras } if cameras.is_empty() => format!("{site}: needs no help"),
        Event::Assisting { site, cameras } => format!("{site}: helped with {} cameras", cameras.len()),
        Event::CallPerson(Call::ManyDark { sites, of }) => {
            format!("a person is called: {} of {of} sites are dark", sites.len())
        }
        Event::CallPerson(Call::Unprotected { site }) => format!("a person is called: {site} is unprotected"),
        _ => return None,
    })
}

fn ground(ground: &Ground) -> String {
    match ground {
        Ground::Silence(silence) => {
            let tally = silence.tallies.iter().map(|tally| format!("{} of {}", tally.said, tally.voters));
            format!("silent to {}", tally.collect::<Vec<_>>().join(" and "))
        }
        Ground::Planned(_) => "as planned".to_owned(),
        Ground::Person { by, .. } => format!("as {by} wants"),
        Ground::Healed { from, .. } => format!("given back by {from}"),
    }
}
