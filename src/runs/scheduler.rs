//! The queue of runs: which run starts next, and what the others wait for.
//!
//! A run waits while its claims conflict with those of a running run or of a run ahead of it in
//! the queue, so no run starves. Runs behind it that conflict with neither may overtake it. Among
//! the runs that can start, the one whose consumer has the fewest running runs is next, so a
//! consumer that starts a hundred runs does not block the others.
//!
//! A request can name a thousand guests. So each run remembers the first of its keys that is not
//! free and the run that blocks it, and looks again only when that run leaves. A key that was free
//! once stays free, because nobody enters ahead of a run.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::runs::claims::{Claim, ClaimIndex, ClaimKey};
use crate::runs::record::QueuePosition;

/// Why a run does not fit in the queue.
#[derive(Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// The queue is full.
    Total,
    /// The consumer already fills half of the queue; the rest is reserved for others.
    Share,
}

#[derive(Debug)]
struct Entry {
    id: Uuid,
    consumer: Option<String>,
    claims: Vec<Claim>,
    /// The keys of the claims, each with the index of its claim.
    keys: Vec<(ClaimKey, usize)>,
    /// The keys before this index are free.
    free: usize,
    /// The run that holds the next key, or that is ahead and waits for it.
    blocked_by: Option<Uuid>,
}

impl Entry {
    fn new(id: Uuid, consumer: Option<String>, claims: Vec<Claim>) -> Self {
        let keys = claims.iter().enumerate();
        let keys =
            keys.flat_map(|(index, claim)| claim.keys().into_iter().map(move |k| (k, index)));
        let keys = keys.collect();
        Self { id, consumer, claims, keys, free: 0, blocked_by: None }
    }

    /// Looks for the next key that is not free.
    fn advance(&mut self, order: u64, index: &ClaimIndex) {
        let keys = self.keys[self.free..].iter();
        let blocked =
            keys.enumerate().find_map(|(n, (key, _))| Some((n, index.ahead_of(order, key)?)));
        self.free = blocked.map_or(self.keys.len(), |(n, _)| self.free + n);
        self.blocked_by = blocked.map(|(_, run)| run);
    }

    fn claim_keys(&self) -> Vec<ClaimKey> {
        self.keys.iter().map(|(key, _)| key.clone()).collect()
    }
}

/// The running and the waiting runs.
#[derive(Debug)]
pub struct Queue {
    slots: usize,
    capacity: usize,
    /// The number of runs that have entered.
    entered: u64,
    /// By order of arrival, like `waiting`.
    running: BTreeMap<u64, Entry>,
    waiting: BTreeMap<u64, Entry>,
    order: HashMap<Uuid, u64>,
    claimed: ClaimIndex,
    /// By run: the waiting runs that it blocks.
    blocked: HashMap<Uuid, Vec<u64>>,
}

impl Queue {
    /// Creates a queue for `slots` running and `capacity` waiting runs.
    pub fn new(slots: usize, capacity: usize) -> Self {
        Self {
            slots,
            capacity,
            entered: 0,
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            order: HashMap::new(),
            claimed: ClaimIndex::default(),
            blocked: HashMap::new(),
        }
    }

    /// Adds a run. Returns whether it starts now.
    ///
    /// # Errors
    ///
    /// If the run would have to wait and the queue, or the consumer's share of it, is full. The run
    /// is not added then.
    pub fn enter(
        &mut self,
        id: Uuid,
        consumer: Option<String>,
        claims: Vec<Claim>,
    ) -> Result<bool, QueueFull> {
        let order = self.entered;
        self.entered += 1;
        let entry = Entry::new(id, consumer, claims);
        self.claimed.add(order, id, &entry.claim_keys());
        self.order.insert(id, order);
        self.waiting.insert(order, entry);
        self.advance(order);
        if self.admit().contains(&id) {
            return Ok(true);
        }
        let Err(full) = self.check_room() else { return Ok(false) };
        // It was the last one, so nobody waits for it.
        self.remove(id);
        Err(full)
    }

    /// Checks whether there is room for the last of the waiting runs.
    fn check_room(&self) -> Result<(), QueueFull> {
        if self.waiting.len() > self.capacity {
            return Err(QueueFull::Total);
        }
        let last = self.waiting.last_key_value();
        let consumer = last.and_then(|(_, entry)| entry.consumer.as_ref());
        let own = self.waiting.values().filter(|entry| entry.consumer.as_ref() == consumer).count();
        // Without a gateway there are no consumers, and no shares.
        if consumer.is_some() && own > self.capacity.div_ceil(2) {
            return Err(QueueFull::Share);
        }
        Ok(())
    }

    /// Removes a running or waiting run. Returns the runs that start now.
    pub fn leave(&mut self, id: Uuid) -> Vec<Uuid> {
        self.remove(id);
        self.admit()
    }

    fn remove(&mut self, id: Uuid) {
        let Some(order) = self.order.remove(&id) else { return };
        let entry = self.running.remove(&order).or_else(|| self.waiting.remove(&order));
        if let Some(entry) = entry {
            self.claimed.remove(order, &entry.claim_keys());
        }
        for order in self.blocked.remove(&id).unwrap_or_default() {
            self.advance(order);
        }
    }

    fn advance(&mut self, order: u64) {
        let Some(entry) = self.waiting.get_mut(&order) else { return };
        entry.advance(order, &self.claimed);
        if let Some(run) = entry.blocked_by {
            self.blocked.entry(run).or_default().push(order);
        }
    }

    /// Starts no more runs.
    pub fn close(&mut self) {
        self.slots = 0;
    }

    /// The number of waiting runs.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn admit(&mut self) -> Vec<Uuid> {
        let free = self.waiting.iter().filter(|(_, entry)| entry.blocked_by.is_none());
        let ranked = self.by_fairness(free);
        let room = self.slots.saturating_sub(self.running.len());
        let admitted: Vec<u64> = ranked.into_iter().take(room).map(|(order, _)| *order).collect();
        let mut ids = Vec::new();
        for order in admitted {
            let Some(entry) = self.waiting.remove(&order) else { continue };
            ids.push(entry.id);
            self.running.insert(order, entry);
        }
        ids
    }

    /// Sorts waiting runs so that consumers with fewer running runs come first.
    fn by_fairness<'a>(
        &'a self,
        entries: impl IntoIterator<Item = (&'a u64, &'a Entry)>,
    ) -> Vec<(&'a u64, &'a Entry)> {
        let mut runs: HashMap<Option<&str>, usize> = HashMap::new();
        for entry in self.running.values() {
            *runs.entry(entry.consumer.as_deref()).or_default() += 1;
        }
        let mut ranked = Vec::new();
        for (order, entry) in entries {
            let ahead = runs.entry(entry.consumer.as_deref()).or_default();
            ranked.push((*ahead, (order, entry)));
            *ahead += 1;
        }
        ranked.sort_by_key(|(ahead, _)| *ahead);
        ranked.into_iter().map(|(_, ranked)| ranked).collect()
    }

    /// Returns the position of each waiting run, next one first.
    pub fn positions(&self) -> Vec<(Uuid, QueuePosition)> {
        let ranked = self.by_fairness(&self.waiting).into_iter().enumerate();
        let position = |(index, (_, entry)): (usize, (&u64, &Entry))| {
            (entry.id, QueuePosition { position: index + 1, reason: self.reason(entry) })
        };
        ranked.map(position).collect()
    }

    /// Why a run waits.
    fn reason(&self, entry: &Entry) -> String {
        let claim = entry.keys.get(entry.free).and_then(|(_, index)| entry.claims.get(*index));
        match (entry.blocked_by, claim, self.running.len()) {
            (Some(run), Some(claim), _) => format!("run {run} changes {claim} and goes first"),
            (.., 1) => "1 run is active, which is the limit".to_owned(),
            (.., running) => format!("{running} runs are active, which is the limit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(names: &[&str]) -> Vec<Claim> {
        names.iter().map(|name| Claim::Other((*name).to_owned())).collect()
    }

    fn ids<const N: usize>() -> [Uuid; N] {
        std::array::from_fn(|_| Uuid::now_v7())
    }

    fn order(queue: &Queue) -> Vec<Uuid> {
        queue.positions().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn runs_start_in_order_of_arrival_within_the_limits() {
        let mut queue = Queue::new(1, 1);
        let [a, b, c] = ids();
        assert_eq!(queue.enter(a, None, vec![]), Ok(true));
        assert_eq!(queue.enter(b, None, vec![]), Ok(false));
        assert_eq!(queue.enter(c, None, vec![]), Err(QueueFull::Total));
        assert_eq!(queue.positions()[0].1.reason, "1 run is active, which is the limit");
        assert_eq!(queue.leave(a), [b]);
        assert_eq!(queue.enter(c, None, vec![]), Ok(false));
        assert!(queue.leave(c).is_empty(), "it was waiting");
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn conflicting_runs_wait_and_others_overtake_them() {
        let mut queue = Queue::new(4, 9);
        let [a, both, third, other] = ids();
        assert_eq!(queue.enter(a, None, claims(&["guest 1"])), Ok(true));
        assert_eq!(queue.enter(both, None, claims(&["guest 1", "guest 2"])), Ok(false));
        // It must not overtake the run that waits for both guests.
        assert_eq!(queue.enter(third, None, claims(&["guest 2"])), Ok(false));
        assert_eq!(queue.enter(other, None, claims(&["guest 3"])), Ok(true));
        let positions = queue.positions();
        assert_eq!((positions[0].0, positions[0].1.position), (both, 1));
        assert!(positions[0].1.reason.contains(&a.to_string()), "{positions:?}");
        assert!(positions[1].1.reason.contains("guest 2"), "{positions:?}");
        assert_eq!(queue.leave(a), [both]);
        assert_eq!(queue.leave(both), [third]);
    }

    #[test]
    fn consumers_with_fewer_running_runs_go_first() {
        let mut queue = Queue::new(2, 6);
        let (alice, bob) = (|| Some("alice".to_owned()), || Some("bob".to_owned()));
        let [a, b, c, d, e, f, g] = ids();
        assert_eq!(queue.enter(a, alice(), vec![]), Ok(true));
        assert_eq!(queue.enter(b, alice(), vec![]), Ok(true));
        for id in [c, d, e] {
            assert_eq!(queue.enter(id, alice(), vec![]), Ok(false));
        }
        assert_eq!(queue.enter(g, alice(), vec![]), Err(QueueFull::Share));
        assert_eq!(queue.enter(f, bob(), vec![]), Ok(false));
        assert_eq!(queue.enter(g, bob(), vec![]), Ok(false));
        assert_eq!(order(&queue), [f, g, c, d, e], "bob has no running run yet");
        assert_eq!(queue.leave(a), [f]);
        assert_eq!(order(&queue), [c, g, d, e], "each has one running run, and c arrived first");
        assert_eq!(queue.leave(b), [c]);
        assert_eq!(queue.leave(c), [d]);
        assert_eq!(queue.leave(f), [g]);
    }

    #[test]
    fn conflicting_runs_start_in_order_of_arrival_whatever_their_consumers() {
        let mut queue = Queue::new(3, 6);
        let (alice, bob) = (|| Some("alice".to_owned()), || Some("bob".to_owned()));
        let [a, b, c, d] = ids();
        assert_eq!(queue.enter(a, alice(), claims(&["guest 1"])), Ok(true));
        assert_eq!(queue.enter(b, alice(), vec![]), Ok(true));
        assert_eq!(queue.enter(c, alice(), claims(&["guest 1"])), Ok(false));
        assert_eq!(queue.enter(d, bob(), claims(&["guest 1"])), Ok(false));
        assert_eq!(queue.leave(a), [c]);
        assert_eq!(queue.leave(c), [d]);
    }
}
