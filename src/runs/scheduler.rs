//! The queue of runs: which run starts next, and what the others wait for.
//!
//! A run waits while its claims conflict with those of a running run or of a run ahead of it in
//! the queue, so no run starves. Runs behind it that conflict with neither may overtake it. Among
//! the runs that can start, the one whose consumer has the fewest running runs is next, so a
//! consumer that starts a hundred runs does not block the others.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use crate::runs::claims::{Claim, Claimed};
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
}

/// The running and the waiting runs.
#[derive(Debug)]
pub struct Queue {
    slots: usize,
    capacity: usize,
    running: Vec<Entry>,
    /// In order of arrival.
    waiting: VecDeque<Entry>,
}

impl Queue {
    /// Creates a queue for `slots` running and `capacity` waiting runs.
    pub fn new(slots: usize, capacity: usize) -> Self {
        Self { slots, capacity, running: Vec::new(), waiting: VecDeque::new() }
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
        self.waiting.push_back(Entry { id, consumer, claims });
        if self.admit().contains(&id) {
            return Ok(true);
        }
        let Err(full) = self.check_room() else { return Ok(false) };
        self.waiting.pop_back();
        Err(full)
    }

    /// Checks whether there is room for the last of the waiting runs.
    fn check_room(&self) -> Result<(), QueueFull> {
        if self.waiting.len() > self.capacity {
            return Err(QueueFull::Total);
        }
        let consumer = self.waiting.back().and_then(|entry| entry.consumer.as_ref());
        let own = self.waiting.iter().filter(|entry| entry.consumer.as_ref() == consumer).count();
        // Without a gateway there are no consumers, and no shares.
        if consumer.is_some() && own > self.capacity.div_ceil(2) {
            return Err(QueueFull::Share);
        }
        Ok(())
    }

    /// Removes a running or waiting run. Returns the runs that start now.
    pub fn leave(&mut self, id: Uuid) -> Vec<Uuid> {
        self.running.retain(|entry| entry.id != id);
        self.waiting.retain(|entry| entry.id != id);
        self.admit()
    }

    /// The number of waiting runs.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn admit(&mut self) -> Vec<Uuid> {
        let mut claimed = self.claimed_by_running();
        let mut free = Vec::new();
        for entry in &self.waiting {
            if claimed.conflict(&entry.claims).is_none() {
                free.push(entry);
            }
            // Its claims count for the runs behind it even if it has to wait.
            claimed.add(entry.id, &entry.claims);
        }
        let ranked = self.by_fairness(free);
        let room = self.slots.saturating_sub(self.running.len());
        let admitted: Vec<Uuid> = ranked.iter().take(room).map(|entry| entry.id).collect();
        for id in &admitted {
            if let Some(index) = self.waiting.iter().position(|entry| entry.id == *id) {
                self.running.extend(self.waiting.remove(index));
            }
        }
        admitted
    }

    fn claimed_by_running(&self) -> Claimed<'_> {
        let mut claimed = Claimed::default();
        self.running.iter().for_each(|entry| claimed.add(entry.id, &entry.claims));
        claimed
    }

    /// Sorts waiting runs so that consumers with fewer running runs come first.
    fn by_fairness<'a>(&'a self, entries: impl IntoIterator<Item = &'a Entry>) -> Vec<&'a Entry> {
        let mut runs: HashMap<Option<&str>, usize> = HashMap::new();
        for entry in &self.running {
            *runs.entry(entry.consumer.as_deref()).or_default() += 1;
        }
        let mut ranked: Vec<(usize, &Entry)> = Vec::new();
        for entry in entries {
            let ahead = runs.entry(entry.consumer.as_deref()).or_default();
            ranked.push((*ahead, entry));
            *ahead += 1;
        }
        ranked.sort_by_key(|(ahead, _)| *ahead);
        ranked.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Returns the position of each waiting run, next one first.
    pub fn positions(&self) -> Vec<(Uuid, QueuePosition)> {
        let mut claimed = self.claimed_by_running();
        let mut reasons = HashMap::new();
        for entry in &self.waiting {
            let reason = match claimed.conflict(&entry.claims) {
                Some((claim, other)) => {
                    format!("run {other} changes {claim} and goes first")
                }
                None => match self.running.len() {
                    1 => "1 run is active, which is the limit".to_owned(),
                    running => format!("{running} runs are active, which is the limit"),
                },
            };
            reasons.insert(entry.id, reason);
            claimed.add(entry.id, &entry.claims);
        }
        let ranked = self.by_fairness(&self.waiting).into_iter().enumerate();
        let position = |(index, entry): (usize, &Entry)| {
            let reason = reasons.remove(&entry.id).unwrap_or_default();
            (entry.id, QueuePosition { position: index + 1, reason })
        };
        ranked.map(position).collect()
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
