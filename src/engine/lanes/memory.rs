//! Lanes whose next body is large wait in line for memory.

use std::collections::VecDeque;

use super::Lanes;
use crate::{
    domain::endpoint::EndpointKey,
    engine::lane::{Lane, Waits},
    store::queue::Wanted,
};

impl Lanes {
    /// Adds to each endpoint of [`Lanes::wanted`] the limit for all large bodies in memory.
    pub fn allowed(&self, wanted: Vec<(EndpointKey, usize)>) -> Vec<Wanted> {
        let allow = |(endpoint, claims)| {
            let lane = self.lanes.get(&endpoint);
            let line = usize::from(lane.is_some_and(Lane::on_probation));
            let first = lane.is_some_and(|lane| lane.waits == Waits::First);
            let may = first || self.in_line[..=line].iter().all(VecDeque::is_empty);
            let (large_bytes, from) = (if may { self.most_bytes(line) } else { 0 }, lane.map_or(0, |lane| lane.from));
            Wanted { endpoint, claims, large_bytes, from }
        };
        wanted.into_iter().map(allow).collect()
    }

    /// Notes the bytes of the large bodies in memory: lanes whose bodies fit now leave the line.
    pub fn admit_large_bodies(&mut self, mut bytes: usize) {
        for line in 0..self.in_line.len() {
            let most = self.most_bytes(line);
            while let Some(&endpoint) = self.in_line[line].front() {
                if let Some(Waits::For(size)) = self.lanes.get(&endpoint).map(|lane| lane.waits) {
                    bytes += size.min(most);
                    if bytes > most {
                        return;
                    }
                    self.with(endpoint, |lane| lane.waits = Waits::First);
                }
                self.in_line[line].pop_front();
            }
        }
    }

    fn most_bytes(&self, line: usize) -> usize {
        self.body_bytes / (1 + line)
    }
}
