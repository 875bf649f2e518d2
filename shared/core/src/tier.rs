//! Tiers, and who may use a model.

use serde::{Deserialize, Serialize};

use crate::meta::Meta;
use crate::policy::Policy;

/// A subscription tier. Which outranks which is policy's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// No subscription.
    Free,
    /// Pro.
    Pro,
    /// Pro Max.
    ProMax,
    /// Enterprise Pro.
    EnterprisePro,
    /// Enterprise Max.
    EnterpriseMax,
    /// A perpetual licence.
    Perpetual,
}

impl Tier {
    /// Every tier, in the design's ascending order.
    pub const ALL: [Self; 6] =
        [Self::Free, Self::Pro, Self::ProMax, Self::EnterprisePro, Self::EnterpriseMax, Self::Perpetual];

    /// The tier's name in files and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::ProMax => "pro_max",
            Self::EnterprisePro => "enterprise_pro",
            Self::EnterpriseMax => "enterprise_max",
            Self::Perpetual => "perpetual",
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no tier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no tier: expected one of free, pro, pro_max, enterprise_pro, enterprise_max, perpetual")]
pub struct UnknownTier(String);

impl std::str::FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Self, UnknownTier> {
        Self::ALL.into_iter().find(|tier| tier.name() == text).ok_or_else(|| UnknownTier(text.to_owned()))
    }
}

/// How a model's tiers restrict who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RestrictionMode {
    /// The caller's tier ranks at least as high as the required one.
    Minimum,
    /// The caller's tier is the required one.
    Exact,
    /// The caller's tier is among the allowed ones.
    Whitelist,
}

/// What a caller is told about its access to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AccessStatus {
    /// The caller's tier may use the model.
    Allowed,
    /// No higher tier would help: the model is for other tiers.
    Restricted,
    /// A higher tier may use the model.
    UpgradeRequired,
}

impl AccessStatus {
    /// The status's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Restricted => "restricted",
            Self::UpgradeRequired => "upgrade_required",
        }
    }
}

/// Whether `tier` may use a model with this meta.
#[must_use]
pub fn may_use(meta: &Meta, tier: Tier, policy: &Policy) -> bool {
    match meta.tier_restriction_mode {
        RestrictionMode::Minimum => policy.rank(tier) >= policy.rank(meta.required_tier),
        RestrictionMode::Exact => tier == meta.required_tier,
        RestrictionMode::Whitelist => meta.allowed_tiers.contains(&tier),
    }
}

/// What a caller of `tier` is told about a model with this meta.
#[must_use]
pub fn access_status(meta: &Meta, tier: Tier, policy: &Policy) -> AccessStatus {
    if may_use(meta, tier, policy) {
        return AccessStatus::Allowed;
    }
    let higher_would_help =
        policy.tiers.iter().any(|&other| policy.rank(other) > policy.rank(tier) && may_use(meta, other, policy));
    if higher_would_help { AccessStatus::UpgradeRequired } else { AccessStatus::Restricted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;

    fn status(mode: RestrictionMode, required: Tier, allowed: &[Tier], caller: Tier) -> AccessStatus {
        let mut meta = model("m").meta;
        meta.tier_restriction_mode = mode;
        meta.required_tier = required;
        meta.allowed_tiers = allowed.to_vec();
        access_status(&meta, caller, &Policy::default())
    }

    #[test]
    fn access_by_mode() {
        use AccessStatus::{Allowed, Restricted, UpgradeRequired};
        use RestrictionMode::{Exact, Minimum, Whitelist};
        use Tier::{EnterpriseMax, EnterprisePro, Free, Perpetual, Pro, ProMax};
        assert_eq!(status(Minimum, ProMax, &[], Pro), UpgradeRequired);
        assert_eq!(status(Minimum, ProMax, &[], ProMax), Allowed);
        assert_eq!(status(Minimum, ProMax, &[], Perpetual), Allowed);
        assert_eq!(status(Exact, ProMax, &[], EnterpriseMax), Restricted);
        assert_eq!(status(Exact, ProMax, &[], Free), UpgradeRequired);
        assert_eq!(status(Whitelist, Free, &[Pro, EnterprisePro], Pro), Allowed);
        assert_eq!(status(Whitelist, Free, &[Pro, EnterprisePro], ProMax), UpgradeRequired);
        assert_eq!(status(Whitelist, Free, &[Pro], EnterprisePro), Restricted);
        assert_eq!(status(Whitelist, Free, &[], Free), Restricted);
    }

    #[test]
    fn ranks_are_policys() {
        let mut meta = model("m").meta;
        meta.required_tier = Tier::Pro;
        let mut policy = Policy::default();
        assert!(!may_use(&meta, Tier::Free, &policy));
        policy.tiers.reverse();
        assert!(may_use(&meta, Tier::Free, &policy));
    }
}
