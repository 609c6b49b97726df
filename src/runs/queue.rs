//! Whose turn it is.
//!
//! Runs are taken in the order in which they came. One that would change a guest which another
//! run works on waits for that run, and lets later ones pass that touch nothing it waits for;
//! what two waiting runs both want goes to the first of them, so nobody waits for ever.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

use super::record::Place;

/// Something that only one run may change at a time, such as `guest 1000 on px-testing`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim(pub String);

/// There is no room for another run.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueFull;

#[derive(Debug)]
struct Entry {
    id: Uuid,
    claims: Vec<Claim>,
}

/// The runs at work and those that wait.
#[derive(Debug)]
pub struct Queue {
    slots: usize,
    capacity: usize,
    at_work: Vec<Entry>,
    waiting: VecDeque<Entry>,
}

impl Queue {
    /// A queue for `slots` runs at work and `capacity` that wait.
    pub fn new(slots: usize, capacity: usize) -> Self {
        Self { slots, capacity, at_work: Vec::new(), waiting: VecDeque::new() }
    }

    /// Takes a run in. Answers whether its turn is now.
    pub fn enter(&mut self, id: Uuid, claims: Vec<Claim>) -> Result<bool, QueueFull> {
        self.waiting.push_back(Entry { id, claims });
        if self.admit().contains(&id) {
            return Ok(true);
        }
        if self.waiting.len() > self.capacity {
            self.waiting.pop_back();
            return Err(QueueFull);
        }
        Ok(false)
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
        let mut taken: HashSet<Claim> =
            self.at_work.iter().flat_map(|entry| entry.claims.iter().cloned()).collect();
        let mut admitted = Vec::new();
        let mut waiting = std::mem::take(&mut self.waiting);
        while let Some(entry) = waiting.pop_front() {
            let free = entry.claims.iter().all(|claim| !taken.contains(claim));
            // What it claims is spoken for, whether it starts now or waits.
            taken.extend(entry.claims.iter().cloned());
            if free && self.at_work.len() < self.slots {
                admitted.push(entry.id);
                self.at_work.push(entry);
            } else {
                self.waiting.push_back(entry);
            }
        }
        admitted
    }

    /// The place of each waiting run.
    pub fn places(&self) -> Vec<(Uuid, Place)> {
        let places = self.waiting.iter().enumerate().map(|(index, entry)| {
            let before = self.at_work.iter().chain(self.waiting.iter().take(index));
            let reason = match first_conflict(before, &entry.claims) {
                Some((claim, other)) => {
                    format!("run {other} works on {claim} or is to do so first")
                }
                None => format!("{} runs are at work, which is the limit", self.at_work.len()),
            };
            (entry.id, Place { position: index + 1, reason })
        });
        places.collect()
    }
}

fn first_conflict<'a>(
    mut before: impl Iterator<Item = &'a Entry>,
    claims: &[Claim],
) -> Option<(String, Uuid)> {
    before.find_map(|other| {
        let shared = claims.iter().find(|claim| other.claims.contains(claim))?;
        Some((shared.0.clone(), other.id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(names: &[&str]) -> Vec<Claim> {
        names.iter().map(|name| Claim((*name).to_owned())).collect()
    }

    fn ids<const N: usize>() -> [Uuid; N] {
        std::array::from_fn(|_| Uuid::now_v7())
    }

    #[test]
    fn first_come_first_served_within_the_limits() {
        let mut queue = Queue::new(1, 1);
        let [a, b, c] = ids();
        assert_eq!(queue.enter(a, vec![]), Ok(true));
        assert_eq!(queue.enter(b, vec![]), Ok(false));
        assert_eq!(queue.enter(c, vec![]), Err(QueueFull));
        assert_eq!(queue.places()[0].1.reason, "1 runs are at work, which is the limit");
        assert_eq!(queue.leave(a), [b]);
        assert_eq!(queue.enter(c, vec![]), Ok(false));
        assert!(queue.leave(c).is_empty(), "it was only waiting");
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn the_same_guest_waits_and_others_pass() {
        let mut queue = Queue::new(4, 9);
        let [a, both, third, other] = ids();
        assert_eq!(queue.enter(a, claims(&["guest 1"])), Ok(true));
        assert_eq!(queue.enter(both, claims(&["guest 1", "guest 2"])), Ok(false));
        // It must not overtake the one that waits for both.
        assert_eq!(queue.enter(third, claims(&["guest 2"])), Ok(false));
        assert_eq!(queue.enter(other, claims(&["guest 3"])), Ok(true));
        let places = queue.places();
        assert_eq!((places[0].0, places[0].1.position), (both, 1));
        assert!(places[0].1.reason.contains(&a.to_string()), "{places:?}");
        assert!(places[1].1.reason.contains("guest 2"), "{places:?}");
        assert_eq!(queue.leave(a), [both]);
        assert_eq!(queue.leave(both), [third]);
    }
}
