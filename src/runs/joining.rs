//! Joining: a request that equals an active run joins it instead of starting another.

use std::collections::HashMap;
use std::sync::Arc;

use crate::runs::claims::{Claim, Claimed};
use crate::runs::{Run, RunRequest};

/// The runs that an equal request joins, by join key.
#[derive(Default)]
pub(super) struct JoinableRuns {
    by_key: HashMap<String, JoinableRun>,
}

struct JoinableRun {
    run: Arc<Run>,
    claims: Vec<Claim>,
    deletes: bool,
}

impl JoinableRuns {
    /// Returns the run that `request` joins, if there is one. A run that is being ended is not
    /// joined.
    pub(super) fn joined_by(&self, request: &RunRequest) -> Option<&Arc<Run>> {
        let run = &self.by_key.get(request.join_key.as_ref()?)?.run;
        run.snapshot().record.ending.is_none().then_some(run)
    }

    /// Makes `run` joinable, and every earlier run that conflicts with it no longer joinable.
    ///
    /// After delete, start, delete of one guest, the second delete must not join the first: the
    /// guest was changed in between. Two deletes do not undo each other, so both stay joinable.
    pub(super) fn add(&mut self, run: &Arc<Run>, request: &RunRequest) {
        let mut claimed = Claimed::default();
        claimed.add(run.id, &request.claims);
        self.by_key.retain(|_, earlier| {
            (request.deletes && earlier.deletes) || claimed.conflict(&earlier.claims).is_none()
        });
        if let Some(key) = &request.join_key {
            let (run, claims) = (run.clone(), request.claims.clone());
            let joinable = JoinableRun { run, claims, deletes: request.deletes };
            self.by_key.insert(key.clone(), joinable);
        }
    }

    /// Removes a run that has ended.
    pub(super) fn remove(&mut self, run: &Run) {
        self.by_key.retain(|_, joinable| joinable.run.id != run.id);
    }
}
