//! What an operation changes. Every row declares its effect; it is never derived from a name.

/// The effect of an operation on the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Reads,
    /// Changes the target in a way that can be undone.
    Changes(Target),
    /// Removes the target, or discards its current state.
    Destroys(Target),
}

/// The resources that an operation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The guests that the request names.
    Guests,
    /// Only the copy of a clone, so that a template can be cloned several times concurrently.
    Copy,
    /// All guests of a group. Only the playbook knows which guests these are.
    Group(&'static str),
    /// The guests that the request names, and the group that they belong to.
    NewGuests(&'static str),
    /// The node.
    Node,
    /// The datacenter.
    Datacenter,
    /// The hosts of the inventory that the request names.
    Hosts,
    /// The hosts of the inventory that the request names, changed by a playbook that the client
    /// names. Its changes are unknown, so it conflicts only with runs of the same playbook.
    HostsByName,
    /// Something that cannot conflict with other runs, such as a new file on a storage.
    Unclaimed,
}

impl Effect {
    /// Whether the operation only reads.
    pub fn is_reading(self) -> bool {
        self == Self::Reads
    }

    /// The resources that are changed, if any.
    pub fn target(self) -> Option<Target> {
        match self {
            Self::Reads => None,
            Self::Changes(target) | Self::Destroys(target) => Some(target),
        }
    }
}

/// The effect of an operation that only reads.
pub(super) fn reads() -> Effect {
    Effect::Reads
}

/// The effect of an operation that changes `target` in a way that can be undone.
pub(super) fn changes(target: Target) -> Effect {
    Effect::Changes(target)
}

/// The effect of an operation that removes `target` or discards its current state.
pub(super) fn destroys(target: Target) -> Effect {
    Effect::Destroys(target)
}
