//! Lanes decide whose turn it is. Each endpoint has one. A lane knows when a delivery of its endpoint is due, how the
//! endpoint behaved recently, and which claims are prefetched: claimed but not begun.
//!
//! A lane's turn is the due time of its first pending delivery, or the time it was last served if that is later. So the
//! lane that has waited longest comes first, and the backlog of one endpoint does not delay the others.
//!
//! Large bodies in memory have a limit in bytes. A lane whose next body does not fit leaves the order of turns and
//! waits in line. While a lane waits, no other claims a large body, so that the largest body gets its memory too; small
//! bodies go on. Lanes on probation have a line of their own and half of the bytes: receivers that hang do not block
//! the others.
//!
//! Pure bookkeeping: no database, no threads, no clock except stopwatches.

mod begin;
mod memory;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    ops::Bound,
    time::Duration,
};

use super::{
    ages::Ages,
    hand::Hand,
    lane::{Behaviour, Lane, Order, Share, Waits},
    offer::{Offer, Shares},
    window::Window,
};
pub use super::{
    ages::{AT_WORK, SENDS},
    lane::{AttemptResult, Limits, SLOW},
};
use crate::{
    clock::Stopwatch,
    domain::{
        account::AccountKey, delivery::DeliveryKey, endpoint::EndpointKey, endpoint_settings::Sending,
        timestamp::Timestamp,
    },
    store::queue::{Claim, Claimed},
};

/// Most claims ahead of free places, over all endpoints.
const MOST_AHEAD_IN_ALL: usize = 512;
/// Idle lanes are kept, with their behaviour, while there are no more lanes than this.
const MANY: usize = 1024;
/// A claim that has not begun after this time is given back: its receiver is slower than before.
const OLD: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Started {
    attempt: u32,
    endpoint: EndpointKey,
    since: Stopwatch,
    /// How many attempts had begun before it.
    number: u64,
    /// Whether it has become slow.
    is_slow: bool,
}

/// The lanes of all recently served endpoints.
#[derive(Debug)]
pub struct Lanes {
    limits: Limits,
    lanes: HashMap<EndpointKey, Lane>,
    /// The lanes that may be served, in order, for each kind.
    turns: [BTreeSet<(Timestamp, EndpointKey)>; Order::COUNT],
    /// The lanes with prefetched claims.
    /// Those whose receiver may answer at once have their own: however many others wait, they begin in time.
    hands: [Hand; 2],
    /// Most bytes of large bodies in memory.
    body_bytes: usize,
    /// The lanes whose next body waits for memory, in order: those not on probation, and those on probation.
    in_line: [VecDeque<EndpointKey>; 2],
    in_flight: HashMap<DeliveryKey, Started>,
    ages: Ages,
    /// How many attempts have begun.
    begun: u64,
    /// Finished but uncommitted; still counted, because a crash would resend them.
    unwritten: usize,
    taken: Share,
    /// The places of each account.
    of_account: HashMap<AccountKey, usize>,
    /// Lanes that changed since the claim budget was last computed.
    changed: HashSet<EndpointKey>,
    /// Idle lanes are removed when there are this many lanes.
    most_lanes: usize,
    open: bool,
}

impl Lanes {
    /// No lanes yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: HashMap::new(),
            turns: Default::default(),
            hands: Default::default(),
            body_bytes: usize::MAX,
            in_line: Default::default(),
            in_flight: HashMap::new(),
            ages: Ages::default(),
            begun: 0,
            unwritten: 0,
            taken: Share::default(),
            of_account: HashMap::new(),
            changed: HashSet::new(),
            most_lanes: MANY,
            open: true,
        }
    }

    /// Sets the limit on the bytes of large bodies in memory.
    #[must_use]
    pub fn with_body_bytes(self, body_bytes: usize) -> Self {
        Self { body_bytes, ..self }
    }

    /// The number of attempts in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The number of claims that are held, or finished but uncommitted.
    pub fn busy(&self) -> usize {
        self.taken.places() + self.taken.ahead + self.unwritten
    }

    /// Notes that this many outcomes are on disk.
    pub fn written(&mut self, outcomes: usize) {
        self.unwritten -= outcomes;
    }

    /// A delivery of this endpoint is due at this moment: the lane's turn comes no later.
    pub fn due(&mut self, endpoint: EndpointKey, at: Timestamp) {
        self.with(endpoint, |lane| lane.turn_at = Some(lane.turn_at.map_or(at, |turn_at| turn_at.min(at))));
    }

    /// The last attempt to this endpoint before the server started timed out: it begins on probation.
    pub fn put_on_probation(&mut self, endpoint: EndpointKey) {
        self.with(endpoint, |lane| lane.distrust(Behaviour::Probation));
    }

    /// The receiver of this endpoint asked for no attempt before this moment.
    pub fn rest(&mut self, endpoint: EndpointKey, until: Timestamp) {
        self.with(endpoint, |lane| lane.rest(until));
    }

    /// The deliveries of this endpoint go out in this way from now on.
    pub fn send_like(&mut self, endpoint: EndpointKey, sending: Sending) {
        if !sending.is_plain() || self.lanes.contains_key(&endpoint) {
            self.with(endpoint, |lane| lane.send_like(sending));
        }
    }

    /// The endpoint was resumed or has another URL: it begins like a new one.
    pub fn restart(&mut self, endpoint: EndpointKey) {
        let begun = self.begun;
        self.with(endpoint, |lane| {
            lane.window = Window::new(begun);
            lane.rests_until = None;
        });
    }

    /// The clock was set: every turn moves by this many milliseconds.
    pub fn shift(&mut self, by: i64) {
        for endpoint in self.lanes.keys().copied().collect::<Vec<_>>() {
            self.with(endpoint, |lane| lane.shift(by));
        }
    }

    /// What to claim now: how many deliveries of which endpoints. The lanes that have waited longest come first, and no
    /// lane gets a second place before each has had a first. Claims ahead of free places are shared evenly. An account
    /// that has half of the places gets more only if no other wants them.
    pub fn wanted(&self, now: Timestamp) -> Vec<(EndpointKey, usize)> {
        if !self.open {
            return Vec::new();
        }
        let ahead = MOST_AHEAD_IN_ALL.saturating_sub(self.taken.ahead);
        let mut offer = Offer {
            limits: self.limits,
            now,
            free: self.free(),
            ahead,
            // Where some lanes have claims ahead, places are free again soon: lanes that hold none get theirs in time.
            soon: if self.taken.ahead > 0 { ahead } else { 0 },
            crowd: self.taken.placed,
            suspects: self.limits.on_probation().saturating_sub(self.taken.on_probation),
            of_account: self.of_account.clone(),
            one_waits: false,
        };
        let lanes = self.come(now, &offer);
        let mut quotas = vec![0; lanes.len()];
        for shares in [Shares::ByAccount, Shares::ByWebhook] {
            offer.share_out(&lanes, &mut quotas, shares);
        }
        let quotas = lanes.iter().zip(quotas).map(|((endpoint, _), quota)| (*endpoint, quota));
        quotas.filter(|(_, quota)| *quota > 0).collect()
    }

    /// The lanes whose turn has come, the earliest first: as many as may get something.
    fn come(&self, now: Timestamp, offer: &Offer) -> Vec<(EndpointKey, &Lane)> {
        let not_quick = self.taken.placed.all();
        let left = |most: usize, taken: usize| most.saturating_sub(taken).min(offer.free + offer.soon);
        let for_new = left(self.limits.not_quick(), not_quick);
        let for_far = left(self.limits.far(), not_quick);
        let for_slow = left(self.limits.slow(), self.taken.placed.slow).min(for_far);
        let come = |order: Order, most: usize| {
            self.turns[order as usize].iter().take_while(|(at, _)| *at <= now).take(most).copied()
        };
        // Lanes that hold many claims may stand before lanes that hold none.
        let mut turns: Vec<_> = come(Order::Fast, offer.free + offer.ahead + self.taken.quick).collect();
        turns.extend(come(Order::Far, for_far + offer.ahead + self.taken.placed.far));
        // Behind the lanes of an account that has its half may stand those of others.
        let with_others = |left: usize| if left > 0 { left + self.limits.in_flight } else { 0 };
        turns.extend(come(Order::New, with_others(for_new)));
        turns.extend(come(Order::Slow, with_others(for_slow)));
        turns.extend(come(Order::Probation, with_others(for_slow.min(offer.suspects))));
        turns.sort_unstable();
        turns.iter().filter_map(|(_, endpoint)| Some((*endpoint, self.lanes.get(endpoint)?))).collect()
    }

    /// When the next future turn comes. Present turns wait for an attempt to end.
    pub fn next_turn(&self, now: Timestamp) -> Option<Timestamp> {
        let later = (Bound::Excluded((now, EndpointKey::MAX)), Bound::Unbounded);
        self.turns.iter().filter_map(|turns| turns.range(later).next()).map(|(at, _)| *at).min()
    }

    /// A lane was served: it goes to the back of the order, or into the line for memory.
    pub fn served(&mut self, claimed: Claimed, now: Timestamp) {
        let Claimed { endpoint, next, too_large, from, .. } = claimed;
        let claims = claimed.claims.len();
        let (line, was_first) = self.with(endpoint, |lane| {
            let was_first = lane.waits == Waits::First;
            lane.turn_at = next.map(|next| next.max(now));
            lane.waits = too_large.map_or(Waits::No, Waits::For);
            lane.from = lane.from.max(from);
            lane.claimed(claims, now);
            (usize::from(lane.on_probation()), was_first)
        });
        match too_large {
            Some(_) if was_first => self.in_line[line].push_front(endpoint),
            Some(_) => self.in_line[line].push_back(endpoint),
            None => {}
        }
        claimed.claims.into_iter().for_each(|claim| self.prefetch(claim));
    }

    /// Takes a claim that has not begun, wherever it was made.
    pub fn prefetch(&mut self, claim: Claim) {
        let (endpoint, account, size) = (claim.target.key, claim.target.account, claim.size());
        if self.with(endpoint, |lane| {
            lane.account = Some(account);
            lane.body = size.max(lane.body - lane.body / 8);
            lane.prefetched.push_back((Stopwatch::start(), claim));
            lane.prefetched.len() == 1
        }) {
            self.put_in_hand(account, endpoint);
        }
    }

    fn put_in_hand(&mut self, account: AccountKey, endpoint: EndpointKey) {
        let at_once = self.lanes.get(&endpoint).is_none_or(Lane::may_answer_at_once);
        self.hands[usize::from(at_once)].push(account, endpoint);
    }

    /// Whether any claim has not begun.
    pub fn has_prefetched(&self) -> bool {
        !self.hands.iter().all(Hand::is_empty)
    }

    /// An attempt has ended. `None`: it was given up before, and does not count. Otherwise whether the endpoint goes on
    /// probation (`Some(true)`), leaves it (`Some(false)`), or neither.
    pub fn ended(&mut self, (key, attempt): (DeliveryKey, u32), ended: AttemptResult) -> Option<Option<bool>> {
        self.in_flight.get(&key).filter(|started| started.attempt == attempt)?;
        let Started { endpoint, number, is_slow, .. } = self.in_flight.remove(&key)?;
        self.ages.ended((key, number));
        self.unwritten += 1;
        let (limits, begun) = (self.limits, self.begun);
        Some(self.with(endpoint, |lane| {
            lane.slow_in_flight -= usize::from(is_slow);
            let before = lane.behaviour;
            lane.ended(ended, (number, begun), limits);
            let on = lane.behaviour == Behaviour::Probation;
            (on != (before == Behaviour::Probation)).then_some(on)
        }))
    }

    /// Removes the prefetched claims that will not begin soon: they are to be given back.
    pub fn overdue(&mut self, now: Timestamp) -> Vec<Claim> {
        let open = self.open;
        self.remove_prefetched(|lane, since| !open || lane.on_probation() || lane.rests(now) || since.elapsed() > OLD)
    }

    /// Removes the attempts in flight for longer than this: they will never end.
    pub fn lost(&mut self, longest: Duration) -> Vec<DeliveryKey> {
        let lost: Vec<(DeliveryKey, u32)> = self
            .in_flight
            .iter()
            .filter(|(_, started)| started.since.elapsed() > longest)
            .map(|(key, started)| (*key, started.attempt))
            .collect();
        for owner in &lost {
            self.ended(*owner, AttemptResult::Unknown);
        }
        lost.into_iter().map(|(key, _)| key).collect()
    }

    /// Whether claims may still begin.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Stops: no claim begins any more, and none is wanted.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// The claim budget for publishing: the total, and the number for each lane that changed. It is zero where older
    /// deliveries wait, and on probation.
    pub fn claim_budget(&mut self, now: Timestamp) -> (usize, Vec<(EndpointKey, usize)>) {
        let limits = self.limits;
        let in_all = if self.open { self.free() + MOST_AHEAD_IN_ALL.saturating_sub(self.taken.ahead) } else { 0 };
        let others = self.taken.placed;
        let each = self.changed.drain().map(|endpoint| {
            let lane = self.lanes.get(&endpoint);
            let serves = |lane: &&Lane| {
                let waits = lane.turn_at.is_some_and(|at| at <= now) || lane.rests(now);
                !waits && lane.may_start(limits, others, false) && lane.is_plain()
            };
            (endpoint, lane.filter(serves).map_or(0, |lane| lane.most(limits).saturating_sub(lane.held())))
        });
        (in_all, each.collect())
    }

    fn remove_prefetched(&mut self, goes: impl Fn(&Lane, &Stopwatch) -> bool) -> Vec<Claim> {
        let mut out = Vec::new();
        let hands = std::mem::take(&mut self.hands);
        for (account, endpoint) in hands.into_iter().flatten() {
            let left = self.with(endpoint, |lane| {
                let prefetched = std::mem::take(&mut lane.prefetched);
                let (gone, kept) = prefetched.into_iter().partition::<VecDeque<_>, _>(|(since, _)| goes(lane, since));
                lane.prefetched = kept;
                out.extend(gone.into_iter().map(|(_, claim)| claim));
                !lane.prefetched.is_empty()
            });
            if left {
                self.put_in_hand(account, endpoint);
            }
        }
        self.unwritten += out.len();
        out
    }

    /// Free places. Prefetched claims of endpoints that do not answer at once cannot begin beyond their part, and take no
    /// place.
    fn free(&self) -> usize {
        let not_quick = self.taken.placed.all().min(self.limits.not_quick());
        self.limits.in_flight.saturating_sub(self.taken.quick + not_quick)
    }

    fn has_place(&self) -> bool {
        self.in_flight.len() + self.unwritten < self.limits.in_flight
    }

    /// Removes idle lanes, except those on probation or at rest. A removed endpoint counts as new.
    fn forget(&mut self) {
        let idle = Lane::is_idle;
        self.changed.extend(self.lanes.iter().filter(|(_, lane)| idle(lane)).map(|(endpoint, _)| *endpoint));
        self.lanes.retain(|_, lane| !idle(lane));
        self.most_lanes = MANY.max(self.lanes.len() * 2);
    }

    /// The only way to change a lane: it updates the global counters and the order of turns.
    fn with<T>(&mut self, endpoint: EndpointKey, change: impl FnOnce(&mut Lane) -> T) -> T {
        if self.lanes.len() >= self.most_lanes && !self.lanes.contains_key(&endpoint) {
            self.forget();
        }
        let limits = self.limits;
        let lane = self.lanes.entry(endpoint).or_default();
        let (account, share, turn) = (lane.account, lane.share(limits), lane.turn(limits));
        let changed = change(lane);
        let (new_account, new_share, new_turn) = (lane.account, lane.share(limits), lane.turn(limits));
        self.taken.replace(&share, &new_share);
        if let Some(account) = account {
            self.of_account.entry(account).and_modify(|places| *places -= share.places());
        }
        if let Some(account) = new_account {
            let places = self.of_account.entry(account).or_default();
            *places += new_share.places();
            if *places == 0 {
                self.of_account.remove(&account);
            }
        }
        if turn != new_turn {
            if let Some((order, at)) = turn {
                self.turns[order as usize].remove(&(at, endpoint));
            }
            if let Some((order, at)) = new_turn {
                self.turns[order as usize].insert((at, endpoint));
            }
        }
        self.changed.insert(endpoint);
        changed
    }
}
