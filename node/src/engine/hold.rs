//! Why a node does not sequence, and what to do about it: stable codes with words for operators.

/// Why nothing is booked here at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Blocks of the own log cannot be read.
    Damaged,
    /// The own log is shorter than it was, or another one.
    Lost,
    /// The high-water mark cannot be read.
    Mark,
    /// The ledger is gone, or was and is not known to be whole again.
    Gone,
    /// The data directory is older than the own log: by the TPM's counter, or a peer has shown more.
    RolledBack,
    /// The TPM's counter cannot be read.
    Counter,
    /// A first peer is waited for, to confirm that the own log is whole.
    Confirming,
    /// The own log was convicted of a fault.
    Frozen,
    /// The time is not known.
    Clock,
    /// The disk is full, or nearly.
    DiskFull,
    /// A write failed so that nothing more is written.
    Failed,
}

impl Hold {
    /// Stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Lost => "lost",
            Self::Mark => "mark-unreadable",
            Self::Gone => "gone",
            Self::RolledBack => "rolled-back",
            Self::Counter => "counter",
            Self::Confirming => "confirming",
            Self::Frozen => "frozen",
            Self::Clock => "clock",
            Self::DiskFull => "disk-full",
            Self::Failed => "failed",
        }
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Damaged => {
                "blocks of the own log cannot be read: look at the disk, let the node fetch them from a peer \
                 or restore the ledger directory, then restart the node"
            }
            Self::Lost => {
                "the own log is shorter than it was: let the node fetch it from a peer or restore the ledger \
                 directory, then restart the node"
            }
            Self::Mark => {
                "HIGHWATER in the data directory cannot be read: compare this log's head with what peers \
                 show, remove HIGHWATER if it is the same, then restart the node"
            }
            Self::Gone => {
                "the ledger is gone, or an old one was put back: connect every whitelisted peer, wait until all have nothing newer of the \
                 own log (GONE then goes), and restart the node; if a peer is gone for good, remove GONE when \
                 the others agree; if no vertex of this log ever left this machine, remove GONE and HIGHWATER \
                 and make an empty NEVER_BEGUN in the data directory"
            }
            Self::RolledBack => {
                "this data directory is an old copy (a peer, or the TPM's counter, knows more of the own log): connect every \
                 whitelisted peer, from which the node fetches its log, wait until all have nothing newer of it (GONE then goes), \
                 and restart the node; if a peer is gone for good, the officers begin a new epoch"
            }
            Self::Counter => {
                "the TPM's counter cannot be read: the node's log says why; see to the TPM, or take keys.tpm_counter out of \
                 the configuration, and restart the node"
            }
            Self::Confirming => {
                "the node has just started, and asks its peers first whether they have more of the own log: it goes on when one was \
                 heard, or after home.confirm_wait_s seconds"
            }
            Self::Frozen => "the own log was convicted of a fault: the officers begin a new epoch",
            Self::Clock => {
                "the time is not known: wait for NTP, or set clock.trust_system where the system's clock is right"
            }
            Self::DiskFull => "free space on the disk or enlarge the file system",
            Self::Failed => "writing failed: look at the disk and restart the node",
        }
    }
}
