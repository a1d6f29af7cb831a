//! What really happened, known to nobody who takes part: which entries were committed, what was acked, whose
//! ledger is whose.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::{LedgerId, RangeSet, Seq, VaultId, proto};

use crate::node::SiteIx;

/// One ledger as it really is.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Its name.
    pub ledger: LedgerId,
    /// Whose it is.
    pub site: SiteIx,
    /// Entries as first encoded, once committed anywhere.
    pub entries: Vec<Option<Bytes>>,
    /// What each vault has acked of it.
    pub acked: BTreeMap<VaultId, RangeSet>,
    /// Its writer's disk was replaced by an older copy: what was not elsewhere is gone.
    pub rolled_back: bool,
}

/// The oracle.
#[derive(Debug, Default)]
pub struct Oracle {
    /// All ledgers.
    pub ledgers: Vec<Truth>,
    numbers: BTreeMap<LedgerId, u32>,
}

impl Oracle {
    /// The number of a ledger; one never heard of becomes the site's.
    pub fn ledger(&mut self, id: &LedgerId, site: SiteIx) -> u32 {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = u32::try_from(self.ledgers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(id.clone(), number);
        self.ledgers.push(Truth {
            ledger: id.clone(),
            site,
            entries: Vec::new(),
            acked: BTreeMap::new(),
            rolled_back: false,
        });
        number
    }

    /// The ledger of a number.
    pub fn id_of(&self, number: u32) -> LedgerId {
        self.ledgers[number as usize].ledger.clone()
    }

    /// A ledger as it really is.
    pub fn truth(&self, id: &LedgerId) -> Option<&Truth> {
        self.numbers.get(id).map(|number| &self.ledgers[*number as usize])
    }

    /// An entry was committed where it was written.
    pub fn committed(&mut self, number: u32, seq: Seq, entry: &Bytes) -> Result<(), String> {
        let truth = &mut self.ledgers[number as usize];
        let index = usize::try_from(seq.0).unwrap_or(usize::MAX);
        if truth.entries.len() <= index {
            truth.entries.resize(index + 1, None);
        }
        match &truth.entries[index] {
            Some(known) if known != entry => {
                Err(format!("{}: seq {seq} was committed twice, with different bytes", truth.ledger))
            }
            _ => {
                truth.entries[index] = Some(entry.clone());
                Ok(())
            }
        }
    }

    /// An entry is durable in a site's vault.
    pub fn arrived(&self, id: &LedgerId, site: SiteIx, seq: Seq, entry: &Bytes) -> Result<(), String> {
        let Some(truth) = self.truth(id) else { return Err(format!("{id}: nobody writes this ledger")) };
        if truth.site != site {
            return Err(format!("{id} is {}'s and came to {site}'s vault", truth.site));
        }
        let known = truth.entries.get(usize::try_from(seq.0).unwrap_or(usize::MAX)).and_then(Option::as_ref);
        match known {
            Some(known) if known == entry => Ok(()),
            Some(_) => Err(format!("{id}: seq {seq} came with other bytes than were committed")),
            None => Err(format!("{id}: seq {seq} came and was never committed")),
        }
    }

    /// A vault has acked.
    pub fn acked(&mut self, vault: VaultId, ack: &proto::Ack) {
        let Ok(id) = LedgerId::from_proto(ack.ledger.as_ref()) else { return };
        let Some(number) = self.numbers.get(&id) else { return };
        let acked = self.ledgers[*number as usize].acked.entry(vault).or_default();
        for range in RangeSet::from_proto(&ack.seqs).iter() {
            acked.insert(range);
        }
    }
}
