//! The metrics of a world, as a program gets them.

use crate::support::world::{Holder, World};

/// The value of the metric of this name without labels; `None` if there is none.
pub fn metric(world: &World, name: &str) -> Option<f64> {
    let client = world.client(&world.token_for(Holder::Operator, "operator"));
    let text = client.send("GET", "/metrics", &[("accept", "text/plain")], None).text;
    let line = text.lines().find(|line| line.split(['{', ' ']).next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()).map(|value| value.parse().expect("a number"))
}
