//! Joining: a request that equals an active run joins it instead of starting another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::runs::claims::{Claim, ClaimIndex, ClaimKey};
use crate::runs::{Run, RunSpec};

/// The runs that an equal request joins.
#[derive(Default)]
pub(super) struct JoinableRuns {
    by_key: HashMap<String, Arc<Run>>,
    by_id: HashMap<Uuid, JoinableRun>,
    /// The keys of the runs that delete what they claim, and of the others.
    deleting: ClaimIndex,
    changing: ClaimIndex,
    added: u64,
}

struct JoinableRun {
    join_key: String,
    order: u64,
    claim_keys: Vec<ClaimKey>,
}

impl JoinableRuns {
    /// Returns the run that a request with this specification joins, if there is one. A run that is being ended is not
    /// joined.
    pub(super) fn joined_by(&self, spec: &RunSpec) -> Option<&Arc<Run>> {
        let run = self.by_key.get(spec.join_key.as_ref()?)?;
        run.may_be_joined().then_some(run)
    }

    /// Makes `run` joinable, and every earlier run that conflicts with it no longer joinable.
    ///
    /// After delete, start, delete of one guest, the second delete must not join the first: the
    /// guest was changed in between. Two deletes do not undo each other, so both stay joinable.
    pub(super) fn add(&mut self, run: &Arc<Run>, spec: &RunSpec) {
        let claim_keys: Vec<ClaimKey> = spec.claims.iter().flat_map(Claim::keys).collect();
        let mut conflicting: HashSet<Uuid> = HashSet::new();
        for key in &claim_keys {
            conflicting.extend(self.changing.holders(key));
            if !spec.deletes {
                conflicting.extend(self.deleting.holders(key));
            }
        }
        conflicting.into_iter().for_each(|id| self.remove(id));
        let Some(join_key) = spec.join_key.clone() else { return };
        if let Some(earlier) = self.by_key.insert(join_key.clone(), run.clone()) {
            self.forget(earlier.id);
        }
        self.added += 1;
        let order = self.added;
        let index = if spec.deletes { &mut self.deleting } else { &mut self.changing };
        index.add(order, run.id, &claim_keys);
        self.by_id.insert(run.id, JoinableRun { join_key, order, claim_keys });
    }

    /// Removes a run, if it is joinable.
    pub(super) fn remove(&mut self, id: Uuid) {
        if let Some(join_key) = self.forget(id) {
            self.by_key.remove(&join_key);
        }
    }

    /// Removes all but the entry in `by_key`.
    fn forget(&mut self, id: Uuid) -> Option<String> {
        let JoinableRun { join_key, order, claim_keys } = self.by_id.remove(&id)?;
        self.deleting.remove(order, &claim_keys);
        self.changing.remove(order, &claim_keys);
        Some(join_key)
    }
}
