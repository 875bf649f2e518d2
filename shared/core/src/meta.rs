//! What a model can do, what it costs, and who may use it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::ModelId;
use crate::price::{Price, Prices, ScheduledPrice};
use crate::tier::{RestrictionMode, Tier};

/// Something a model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the field's own and say it all")]
pub enum Capability {
    Text,
    Vision,
    FunctionCalling,
    Code,
    LongContext,
    Reasoning,
    StructuredOutput,
    PromptCaching,
    WebSearch,
    Pdf,
    AudioInput,
    AudioOutput,
    VideoInput,
    ImageGeneration,
    VideoGeneration,
    Embedding,
    Rerank,
    SpeechToText,
    TextToSpeech,
    Moderation,
    ComputerUse,
    FineTuning,
    Streaming,
}

impl Capability {
    /// The capability that a name stands for.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
    }
}

/// A model's description, limits, prices, access rules and legacy notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Meta {
    /// The name people read, 1 to 255 characters.
    pub display_name: String,
    /// At most 5000 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The provider's own version, at most 50 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// At least one, in the file's order.
    pub capabilities: Vec<Capability>,
    /// Tokens of prompt and answer together; known for every model that does text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Tokens of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// `None` is unknown, never free.
    pub input_cost_per_million_tokens: Option<Price>,
    /// `None` is unknown, never free.
    pub output_cost_per_million_tokens: Option<Price>,
    /// Every other price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Future prices, by ascending time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_schedule: Vec<ScheduledPrice>,
    /// Credits for a thousand tokens; computed from the prices when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits_per_1k_tokens: Option<u64>,
    /// The tier that `minimum` and `exact` compare with.
    pub required_tier: Tier,
    /// How the tiers restrict.
    pub tier_restriction_mode: RestrictionMode,
    /// The tiers that `whitelist` allows.
    pub allowed_tiers: Vec<Tier>,
    /// What to use instead of a legacy or archived model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_replacement_model_id: Option<ModelId>,
    /// What users are told about the deprecation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecation_notice: Option<String>,
    /// When the model stops being served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset_date: Option<Timestamp>,
    /// Whatever the provider says, kept as it is.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub provider_metadata: serde_json::Map<String, serde_json::Value>,
    /// For admins' eyes only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub internal_notes: String,
    /// Free labels of the compliance team.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compliance_tags: Vec<String>,
}
