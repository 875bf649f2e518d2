//! How many of the models that match there are of each kind.

use std::collections::BTreeMap;

use roster_core::finder::{Bits, Finder};
use roster_core::meta::Capability;
use roster_core::tier::Tier;
use serde::Serialize;

/// A kind that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facet {
    Provider,
    Capability,
    Tier,
}

/// The counts that were asked for; a value that no model has is left out.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
pub(crate) struct Facets<'f> {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<BTreeMap<&'f str, usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capability: Option<BTreeMap<Capability, usize>>,
    /// By what each tier may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<BTreeMap<Tier, usize>>,
}

impl Facet {
    /// Reads a list of names, parted by commas.
    pub(crate) fn parse_list(list: &str) -> Result<Vec<Self>, String> {
        let parse = |name: &str| match name {
            "provider" => Ok(Self::Provider),
            "capability" => Ok(Self::Capability),
            "tier" => Ok(Self::Tier),
            _ => Err(format!("\"{name}\" is not counted: count provider, capability or tier")),
        };
        list.split(',').map(parse).collect()
    }
}

/// Counts the models that match, on all pages.
pub(crate) fn count<'f>(finder: &'f Finder, found: &Bits, asked: &[Facet]) -> Facets<'f> {
    let mut facets = Facets::default();
    for facet in asked {
        match facet {
            Facet::Provider => {
                let providers = finder.providers.iter().map(|(name, those)| (&**name, those));
                facets.provider = Some(counts(providers, found));
            }
            Facet::Capability => {
                let capabilities = finder.capabilities.iter().map(|(capability, those)| (*capability, those));
                facets.capability = Some(counts(capabilities, found));
            }
            Facet::Tier => facets.tier = Some(counts(Tier::ALL.into_iter().zip(&finder.tiers), found)),
        }
    }
    facets
}

fn counts<'f, K: Ord>(values: impl Iterator<Item = (K, &'f Bits)>, found: &Bits) -> BTreeMap<K, usize> {
    values.map(|(value, those)| (value, found.common(those))).filter(|(_, count)| *count > 0).collect()
}
