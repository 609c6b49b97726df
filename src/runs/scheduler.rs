//! Whose turn it is.
//!
//! A run that would change what another run works on waits for that run, and lets later ones
//! pass that touch nothing it waits for; what two waiting runs both want goes to the one that
//! came first, so nobody waits for ever. Among those that could begin, the consumers of the
//! gateway take turns: whoever has the fewest runs at work is next. So one of them who starts
//! a hundred runs does not keep the others waiting for all of these.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use crate::runs::claims::{Claim, Claimed};
use crate::runs::record::Place;

/// Why there is no room for another run.
#[derive(Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// As many runs wait as may.
    ForAll,
    /// The consumer has taken half of the queue, and the rest is for others.
    ForOne,
}

#[derive(Debug)]
struct Entry {
    id: Uuid,
    consumer: Option<String>,
    claims: Vec<Claim>,
}

/// The runs at work and those that wait.
#[derive(Debug)]
pub struct Queue {
    slots: usize,
    capacity: usize,
    at_work: Vec<Entry>,
    /// In the order in which they came.
    waiting: VecDeque<Entry>,
}

impl Queue {
    /// A queue for `slots` runs at work and `capacity` that wait.
    pub fn new(slots: usize, capacity: usize) -> Self {
        Self { slots, capacity, at_work: Vec::new(), waiting: VecDeque::new() }
    }

    /// Takes a run in. Answers whether its turn is now.
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

    /// Whether the last of the waiting runs may stay.
    fn check_room(&self) -> Result<(), QueueFull> {
        if self.waiting.len() > self.capacity {
            return Err(QueueFull::ForAll);
        }
        let consumer = self.waiting.back().and_then(|entry| entry.consumer.as_ref());
        let own = self.waiting.iter().filter(|entry| entry.consumer.as_ref() == consumer).count();
        // Nobody has a name where no gateway gives one, and then all are one.
        if consumer.is_some() && own > self.capacity.div_ceil(2) {
            return Err(QueueFull::ForOne);
        }
        Ok(())
    }

    /// Takes a run out, whether it was at work or waiting, and answers whose turn is now.
    pub fn leave(&mut self, id: Uuid) -> Vec<Uuid> {
        self.at_work.retain(|entry| entry.id != id);
        self.waiting.retain(|entry| entry.id != id);
        self.admit()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn admit(&mut self) -> Vec<Uuid> {
        let mut claimed = self.claimed_at_work();
        let mut free = Vec::new();
        for entry in &self.waiting {
            if claimed.conflict(&entry.claims).is_none() {
                free.push(entry);
            }
            // What it claims is spoken for, whether it begins now or waits.
            claimed.add(entry.id, &entry.claims);
        }
        let turns = self.in_turns(free);
        let room = self.slots.saturating_sub(self.at_work.len());
        let admitted: Vec<Uuid> = turns.iter().take(room).map(|entry| entry.id).collect();
        for id in &admitted {
            if let Some(index) = self.waiting.iter().position(|entry| entry.id == *id) {
                self.at_work.extend(self.waiting.remove(index));
            }
        }
        admitted
    }

    fn claimed_at_work(&self) -> Claimed<'_> {
        let mut claimed = Claimed::default();
        self.at_work.iter().for_each(|entry| claimed.add(entry.id, &entry.claims));
        claimed
    }

    /// Some of the waiting runs, in the order in which the consumers take their turns.
    fn in_turns<'a>(&'a self, entries: impl IntoIterator<Item = &'a Entry>) -> Vec<&'a Entry> {
        let mut runs: HashMap<Option<&str>, usize> = HashMap::new();
        for entry in &self.at_work {
            *runs.entry(entry.consumer.as_deref()).or_default() += 1;
        }
        let mut ranked: Vec<(usize, &Entry)> = Vec::new();
        for entry in entries {
            let before = runs.entry(entry.consumer.as_deref()).or_default();
            ranked.push((*before, entry));
            *before += 1;
        }
        ranked.sort_by_key(|(before, _)| *before);
        ranked.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The place of each waiting run.
    pub fn places(&self) -> Vec<(Uuid, Place)> {
        let mut claimed = self.claimed_at_work();
        let mut reasons = HashMap::new();
        for entry in &self.waiting {
            let reason = match claimed.conflict(&entry.claims) {
                Some((claim, other)) => {
                    format!("run {other} works on {claim} or is to do so first")
                }
                None => format!("{} runs are at work, which is the limit", self.at_work.len()),
            };
            reasons.insert(entry.id, reason);
            claimed.add(entry.id, &entry.claims);
        }
        let turns = self.in_turns(&self.waiting).into_iter().enumerate();
        let place = |(index, entry): (usize, &Entry)| {
            let reason = reasons.remove(&entry.id).unwrap_or_default();
            (entry.id, Place { position: index + 1, reason })
        };
        turns.map(place).collect()
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
        queue.places().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn first_come_first_served_within_the_limits() {
        let mut queue = Queue::new(1, 1);
        let [a, b, c] = ids();
        assert_eq!(queue.enter(a, None, vec![]), Ok(true));
        assert_eq!(queue.enter(b, None, vec![]), Ok(false));
        assert_eq!(queue.enter(c, None, vec![]), Err(QueueFull::ForAll));
        assert_eq!(queue.places()[0].1.reason, "1 runs are at work, which is the limit");
        assert_eq!(queue.leave(a), [b]);
        assert_eq!(queue.enter(c, None, vec![]), Ok(false));
        assert!(queue.leave(c).is_empty(), "it was only waiting");
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn the_same_guest_waits_and_others_pass() {
        let mut queue = Queue::new(4, 9);
        let [a, both, third, other] = ids();
        assert_eq!(queue.enter(a, None, claims(&["guest 1"])), Ok(true));
        assert_eq!(queue.enter(both, None, claims(&["guest 1", "guest 2"])), Ok(false));
        // It must not overtake the one that waits for both.
        assert_eq!(queue.enter(third, None, claims(&["guest 2"])), Ok(false));
        assert_eq!(queue.enter(other, None, claims(&["guest 3"])), Ok(true));
        let places = queue.places();
        assert_eq!((places[0].0, places[0].1.position), (both, 1));
        assert!(places[0].1.reason.contains(&a.to_string()), "{places:?}");
        assert!(places[1].1.reason.contains("guest 2"), "{places:?}");
        assert_eq!(queue.leave(a), [both]);
        assert_eq!(queue.leave(both), [third]);
    }

    #[test]
    fn consumers_take_turns() {
        let mut queue = Queue::new(2, 6);
        let (alice, bob) = (|| Some("alice".to_owned()), || Some("bob".to_owned()));
        let [a, b, c, d, e, f, g] = ids();
        assert_eq!(queue.enter(a, alice(), vec![]), Ok(true));
        assert_eq!(queue.enter(b, alice(), vec![]), Ok(true));
        for id in [c, d, e] {
            assert_eq!(queue.enter(id, alice(), vec![]), Ok(false));
        }
        assert_eq!(queue.enter(g, alice(), vec![]), Err(QueueFull::ForOne));
        assert_eq!(queue.enter(f, bob(), vec![]), Ok(false));
        assert_eq!(queue.enter(g, bob(), vec![]), Ok(false));
        assert_eq!(order(&queue), [f, g, c, d, e], "bob has nothing at work yet");
        assert_eq!(queue.leave(a), [f]);
        assert_eq!(order(&queue), [c, g, d, e], "one each is at work, and alice's came first");
        assert_eq!(queue.leave(b), [c]);
        assert_eq!(queue.leave(c), [d]);
        assert_eq!(queue.leave(f), [g]);
    }

    #[test]
    fn what_two_want_goes_to_the_first_whoever_has_fewer_at_work() {
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
