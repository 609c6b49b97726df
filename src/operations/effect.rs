//! What an operation changes. Every row declares it; nothing guesses it from a name.

/// What an operation does to the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing.
    Reads,
    /// It changes something, which can be changed back.
    Changes(Target),
    /// It removes something, or discards the present state of it.
    Destroys(Target),
}

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The guests that the request names.
    Guests,
    /// Only the copy of a clone, so that many clones of one template run at once.
    Copy,
    /// All guests of a group. Which these are, only the playbook knows.
    Group(&'static str),
    /// The guests of a group that the request names, and with them the group.
    NewGuests(&'static str),
    /// The node.
    Node,
    /// The datacenter.
    Datacenter,
    /// The hosts of the inventory that the request names.
    Hosts,
    /// The same by a playbook that the client names. It can change anything, so it waits only
    /// for other runs of the same playbook.
    HostsByName,
    /// Something that no other run gets in the way of, such as a new file on a storage.
    Unclaimed,
}

impl Effect {
    /// Whether it changes nothing.
    pub fn is_reading(self) -> bool {
        self == Self::Reads
    }

    /// What is changed, if anything is.
    pub fn target(self) -> Option<Target> {
        match self {
            Self::Reads => None,
            Self::Changes(target) | Self::Destroys(target) => Some(target),
        }
    }
}

/// The effect of a row that changes nothing.
pub(super) fn reads() -> Effect {
    Effect::Reads
}

/// The effect of a row that changes something.
pub(super) fn changes(target: Target) -> Effect {
    Effect::Changes(target)
}

/// The effect of a row that removes something or discards the present state of it.
pub(super) fn destroys(target: Target) -> Effect {
    Effect::Destroys(target)
}
