//! What a seed decides about a story as a whole.

use super::dice::Dice;
use super::tricks::Trick;

/// What a seed decides before anything happens.
pub(crate) struct Plan {
    pub(crate) homes: usize,
    pub(crate) crowd: usize,
    pub(crate) steps: u64,
    /// The last home lies.
    pub(crate) liar: bool,
    /// Frames are lost, doubled and reordered.
    pub(crate) rough: bool,
    /// Boxes crash, lose power, fill up and are restored.
    pub(crate) trouble: bool,
    /// One clock is far ahead or behind, until healing.
    pub(crate) skewed: bool,
    /// A data directory may be restored as a whole, with its high-water mark: no box can notice that by itself, and not by
    /// peers that it does not hear.
    pub(crate) whole_restores: bool,
    /// Half a year passes once: what nobody answered comes back.
    pub(crate) ages: bool,
    /// A home takes little from another before that takes from it, until healing.
    pub(crate) limited: bool,
    /// Until healing, homes follow by its headers what does not concern them.
    pub(crate) headed: bool,
    /// How often homes write checkpoints.
    pub(crate) checkpoint_every: Option<u64>,
    /// After a conviction the officers begin again.
    pub(crate) heals: bool,
    /// What the liar tries before it lies at random.
    pub(crate) trick: Option<Trick>,
}

impl Plan {
    pub(crate) fn thrown(dice: &mut Dice) -> Self {
        let homes = dice.pick(&[3, 3, 3, 4, 4, 5, 7, 9]);
        let large = homes >= 5 && dice.percent(25);
        let trick = dice.percent(70).then(|| Trick::thrown(dice, homes));
        Self {
            homes,
            crowd: if large { 36 } else { 5 },
            steps: dice.between(60, 140),
            liar: dice.percent(75),
            rough: dice.percent(40),
            trouble: dice.percent(70),
            skewed: dice.percent(15),
            whole_restores: dice.percent(25),
            // Nine homes compare frontiers for minutes of real time in half a year.
            ages: (dice.percent(15) && homes < 5) || trick == Some(Trick::LateAccept),
            limited: dice.percent(15),
            checkpoint_every: dice.percent(40).then(|| dice.between(1, 24) * 3_600_000),
            heals: dice.percent(50),
            trick,
            headed: dice.percent(25),
        }
    }
}
