//! What clients see of a model.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::canonical;
use crate::effective::{self, EffectiveVersion};
use crate::lifecycle::{self, Stage};
use crate::meta::Capability;
use crate::model::{Model, ModelId};
use crate::policy::Policy;
use crate::price::{self, Price};
use crate::rollout::RolloutStatus;
use crate::tier::{self, AccessStatus, RestrictionMode, Tier};
use crate::version::VersionStatus;

/// A model as clients see it, rendered once for a revision: only the caller's access is left open.
#[derive(Clone, Debug)]
pub struct View {
    /// The model's id.
    pub id: ModelId,
    /// Other names that lead here.
    pub aliases: Box<[ModelId]>,
    /// The name that the provider's API takes.
    pub name: Box<str>,
    /// Who serves it.
    pub provider: Box<str>,
    /// What it can do.
    pub capabilities: Box<[Capability]>,
    /// Where it is in its life.
    pub stage: Stage,
    /// Whether it can be used now.
    pub is_available: bool,
    /// Whether it is marked legacy.
    pub is_legacy: bool,
    /// What to use instead.
    pub replacement: Option<ModelId>,
    /// When it stops being served.
    pub sunset: Option<Timestamp>,
    /// When scheduled prices of it begin, or began.
    pub price_starts: Box<[Timestamp]>,
    /// Its versions as they are, in the order of the spec.
    pub versions: Box<[EffectiveVersion]>,
    /// The versions of it that stop answering, each with what replaces it.
    pub ending_versions: Box<[EndingVersion]>,
    /// The version that takes the traffic, where the model has versions.
    pub active_version: Option<semver::Version>,
    /// The next instant at which time alone changes it.
    pub next_change: Option<Timestamp>,
    context_length: Option<u64>,
    max_output_tokens: Option<u64>,
    input_cost: Option<Price>,
    output_cost: Option<Price>,
    credits: Option<u64>,
    /// What each tier is told, in the order of [`Tier::ALL`].
    access: [AccessStatus; 6],
    before_access: Box<[u8]>,
    after_access: Box<[u8]>,
    /// What is published of the model.
    entry: Arc<str>,
    /// Made when it is first asked for: a start renders every model, and few of them are asked for by id.
    fingerprint: OnceLock<Box<str>>,
    /// Where each field before the access begins; made when a field is first asked for.
    starts: OnceLock<[u32; BEFORE_ACCESS]>,
}

/// The fields of a view, in the order in which they are written.
pub const FIELDS: [&str; 20] = [
    "id",
    "name",
    "display_name",
    "provider",
    "description",
    "capabilities",
    "context_length",
    "max_output_tokens",
    "input_cost_per_million_tokens",
    "output_cost_per_million_tokens",
    "credits_per_1k_tokens",
    "is_available",
    "is_legacy",
    "is_archived",
    "version",
    "required_tier",
    "tier_restriction_mode",
    "allowed_tiers",
    "access_status",
    "legacy_info",
];
/// How many of them do not depend on who asks; the access and the legacy notice follow.
const BEFORE_ACCESS: usize = 18;
const ACCESS: &[u8] = b",\"access_status\":\"";
const DISPLAY_NAME: usize = 2;
const DESCRIPTION: usize = 4;

/// Some of the fields of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fields(u32);

impl Fields {
    /// Reads a list of names, parted by commas.
    ///
    /// # Errors
    /// The first name that no field has, with those that there are.
    pub fn parse(list: &str) -> Result<Self, String> {
        list.split(',').try_fold(Self(0), |Self(fields), name| {
            let at = FIELDS.iter().position(|field| *field == name);
            let unknown = || format!("\"{name}\" is no field: the fields are {}", FIELDS.join(", "));
            at.map(|at| Self(fields | 1 << at)).ok_or_else(unknown)
        })
    }

    fn contains(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }
}

/// A field whose values have an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are the fields of the same names")]
pub enum SortField {
    ContextLength,
    MaxOutputTokens,
    InputCost,
    OutputCost,
    Credits,
    SunsetDate,
}

impl SortField {
    /// Every such field.
    pub const ALL: [Self; 6] = [
        Self::ContextLength,
        Self::MaxOutputTokens,
        Self::InputCost,
        Self::OutputCost,
        Self::Credits,
        Self::SunsetDate,
    ];

    /// The field's name in a view.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ContextLength => "context_length",
            Self::MaxOutputTokens => "max_output_tokens",
            Self::InputCost => "input_cost_per_million_tokens",
            Self::OutputCost => "output_cost_per_million_tokens",
            Self::Credits => "credits_per_1k_tokens",
            Self::SunsetDate => "sunset_date",
        }
    }
}

/// A value that has an order. Those of one field are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortValue {
    /// Tokens, credits, or an amount of money.
    Number(Decimal),
    /// A date.
    Time(Timestamp),
}

#[derive(Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
struct BeforeAccess<'m> {
    id: &'m ModelId,
    name: &'m str,
    display_name: &'m str,
    provider: &'m str,
    description: &'m str,
    capabilities: &'m [Capability],
    context_length: Option<u64>,
    max_output_tokens: Option<u64>,
    input_cost_per_million_tokens: Option<Price>,
    output_cost_per_million_tokens: Option<Price>,
    credits_per_1k_tokens: Option<u64>,
    is_available: bool,
    is_legacy: bool,
    is_archived: bool,
    version: &'m str,
    required_tier: Tier,
    tier_restriction_mode: RestrictionMode,
    allowed_tiers: &'m [Tier],
}

#[derive(Serialize)]
#[cfg_attr(feature = "contract", derive(schemars::JsonSchema))]
struct LegacyInfo<'m> {
    is_legacy: bool,
    replacement_model_id: Option<&'m ModelId>,
    deprecation_notice: Option<&'m str>,
    sunset_date: Option<Timestamp>,
}

/// What [`View::write`] puts together, as one type.
#[cfg(feature = "contract")]
#[derive(schemars::JsonSchema)]
#[schemars(rename = "ModelView", description = "A model as this caller sees it.")]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Written<'m> {
    #[schemars(flatten)]
    before_access: BeforeAccess<'m>,
    access_status: AccessStatus,
    legacy_info: LegacyInfo<'m>,
}

#[cfg(feature = "contract")]
impl schemars::JsonSchema for View {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Written::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}

/// A version that stops answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingVersion {
    /// The version.
    pub version: semver::Version,
    /// When it stops.
    pub end: Timestamp,
    /// The version to use instead.
    pub replacement: Option<semver::Version>,
}

impl EndingVersion {
    /// One that time alone has retired is told of still: its callers fail since.
    fn of(version: &EffectiveVersion) -> Option<Self> {
        let is_told = version.status != VersionStatus::Retired || version.retires_at.is_some();
        let end = version.end_of_life.filter(|_| is_told)?;
        Some(Self { version: version.version.clone(), end, replacement: version.replacement.clone() })
    }
}

impl View {
    /// A model as clients see it at `now`; `entry` is what is published of it, and `rollout` how far the version is
    /// that comes.
    ///
    /// # Errors
    /// Whatever `serde_json` says when it cannot write.
    pub fn render(
        model: &Model,
        entry: &Arc<str>,
        rollout: Option<&RolloutStatus>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, serde_json::Error> {
        let meta = &model.meta;
        let versions = effective::versions(model, rollout, policy, now);
        let stage = lifecycle::stage(model, now);
        let is_archived = stage == Stage::Archived;
        let is_available = model.is_available && !is_archived;
        let prices = lifecycle::prices_at(meta, now);
        let credits = meta
            .credits_per_1k_tokens
            .or_else(|| price::credits_per_1k_tokens(prices.input, prices.output, &policy.credits));
        let fields = BeforeAccess {
            id: &model.id,
            name: &model.name,
            display_name: &meta.display_name,
            provider: &model.provider,
            description: &meta.description,
            capabilities: &meta.capabilities,
            context_length: meta.context_length,
            max_output_tokens: meta.max_output_tokens,
            input_cost_per_million_tokens: prices.input,
            output_cost_per_million_tokens: prices.output,
            credits_per_1k_tokens: credits,
            is_available,
            is_legacy: model.is_legacy,
            is_archived,
            version: &meta.version,
            required_tier: meta.required_tier,
            tier_restriction_mode: meta.tier_restriction_mode,
            allowed_tiers: &meta.allowed_tiers,
        };
        // The object is left open: the caller's access and the legacy notice close it.
        // What is shown is hardly ever longer than what is published.
        let mut before_access = Vec::with_capacity(entry.len() + ACCESS.len());
        serde_json::to_writer(&mut before_access, &fields)?;
        before_access.pop();
        before_access.extend_from_slice(ACCESS);
        let mut after_access = b"\",\"legacy_info\":".to_vec();
        serde_json::to_writer(
            &mut after_access,
            &LegacyInfo {
                is_legacy: model.is_legacy,
                replacement_model_id: meta.legacy_replacement_model_id.as_ref(),
                deprecation_notice: meta.deprecation_notice.as_deref(),
                sunset_date: meta.sunset_date,
            },
        )?;
        after_access.push(b'}');
        let active = versions.iter().find(|version| version.status == VersionStatus::Active);
        let ends = versions.iter().filter_map(|version| version.retires_at).filter(|&at| at > now);
        Ok(Self {
            name: model.name.as_str().into(),
            sunset: meta.sunset_date,
            price_starts: meta.price_schedule.iter().map(|scheduled| scheduled.from).collect(),
            ending_versions: versions.iter().filter_map(EndingVersion::of).collect(),
            active_version: active.map(|version| version.version.clone()),
            next_change: lifecycle::next_change(model, now).into_iter().chain(ends).min(),
            versions: versions.into(),
            context_length: meta.context_length,
            max_output_tokens: meta.max_output_tokens,
            input_cost: prices.input,
            output_cost: prices.output,
            credits,
            id: model.id.clone(),
            aliases: model.aliases.clone().into(),
            provider: model.provider.as_str().into(),
            capabilities: meta.capabilities.clone().into(),
            stage,
            is_available,
            is_legacy: model.is_legacy,
            replacement: meta.legacy_replacement_model_id.clone(),
            access: Tier::ALL.map(|tier| tier::access_status(meta, tier, policy)),
            before_access: before_access.into(),
            after_access: after_access.into(),
            entry: entry.clone(),
            fingerprint: OnceLock::new(),
            starts: OnceLock::new(),
        })
    }

    /// A name for exactly this model, policy and time: another one with whatever changes.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| {
            let moved = if self.versions.is_empty() { None } else { serde_json::to_vec(&self.versions).ok() };
            let moved = moved.unwrap_or_default();
            let parts = [self.entry.as_bytes(), &self.before_access, &self.after_access, &moved];
            let mut fingerprint = canonical::sha256_hex(&parts.concat());
            fingerprint.truncate(32);
            fingerprint.into()
        })
    }

    /// When time alone retires versions of it, or did.
    pub fn retirements(&self) -> impl Iterator<Item = Timestamp> {
        self.versions.iter().filter_map(|version| version.retires_at)
    }

    /// The version that comes, where a rollout of it may be under way.
    #[must_use]
    pub fn canary(&self) -> Option<&EffectiveVersion> {
        self.versions.iter().find(|version| version.status == VersionStatus::Canary)
    }

    /// The value of a field that has an order; `None` is unknown.
    #[must_use]
    pub fn value(&self, field: SortField) -> Option<SortValue> {
        let tokens = |count: Option<u64>| count.map(Decimal::from).map(SortValue::Number);
        let money = |price: Option<Price>| price.map(|price| SortValue::Number(price.amount()));
        match field {
            SortField::ContextLength => tokens(self.context_length),
            SortField::MaxOutputTokens => tokens(self.max_output_tokens),
            SortField::InputCost => money(self.input_cost),
            SortField::OutputCost => money(self.output_cost),
            SortField::Credits => tokens(self.credits),
            SortField::SunsetDate => self.sunset.map(SortValue::Time),
        }
    }

    /// The name that people read.
    #[must_use]
    pub fn display_name(&self) -> String {
        self.text(DISPLAY_NAME)
    }

    /// The description.
    #[must_use]
    pub fn description(&self) -> String {
        self.text(DESCRIPTION)
    }

    /// Whether a caller of this tier sees the same of another view.
    #[must_use]
    pub fn shows_same(&self, other: &Self, tier: Tier) -> bool {
        self.access(tier) == other.access(tier)
            && self.before_access == other.before_access
            && self.after_access == other.after_access
    }

    /// A text that was rendered. It is kept as JSON only: few ask for it.
    fn text(&self, field: usize) -> String {
        let json = self.before(field);
        let value = json.iter().position(|&byte| byte == b':').map_or(json.len(), |colon| colon + 1);
        serde_json::from_slice(&json[value..]).unwrap_or_default()
    }

    /// A field before the access, with its name.
    fn before(&self, field: usize) -> &[u8] {
        let object = &self.before_access[..self.before_access.len() - ACCESS.len()];
        let starts = self.starts.get_or_init(|| starts(object));
        // A comma stands between two fields.
        let end = starts.get(field + 1).map_or(object.len(), |next| *next as usize - 1);
        &object[starts[field] as usize..end]
    }

    /// What a caller of this tier is told about its access.
    #[must_use]
    pub fn access(&self, tier: Tier) -> AccessStatus {
        self.access[tier as usize]
    }

    /// How many bytes [`View::write`] adds at the most.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.before_access.len() + "upgrade_required".len() + self.after_access.len()
    }

    /// Adds the model's JSON as a caller of this tier sees it.
    pub fn write(&self, tier: Tier, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before_access);
        out.extend_from_slice(self.access(tier).name().as_bytes());
        out.extend_from_slice(&self.after_access);
    }

    /// Adds the JSON of some fields, as [`View::write`] has them.
    pub fn write_fields(&self, fields: Fields, tier: Tier, out: &mut Vec<u8>) {
        out.push(b'{');
        let first = out.len();
        for at in (0..FIELDS.len()).filter(|&at| fields.contains(at)) {
            if out.len() > first {
                out.push(b',');
            }
            match at.checked_sub(BEFORE_ACCESS) {
                None => out.extend_from_slice(self.before(at)),
                Some(0) => {
                    out.extend_from_slice(&ACCESS[1..]);
                    out.extend_from_slice(self.access(tier).name().as_bytes());
                    out.push(b'"');
                }
                // What closes the access stands before the notice, and what closes the object after it.
                Some(_) => out.extend_from_slice(&self.after_access[2..self.after_access.len() - 1]),
            }
        }
        out.push(b'}');
    }
}

/// Where each field of an open object begins.
fn starts(object: &[u8]) -> [u32; BEFORE_ACCESS] {
    let mut starts = [0; BEFORE_ACCESS];
    let (mut at, mut depth, mut is_text, mut is_escaped) = (0, 0, false, false);
    for (place, byte) in object.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        let is_before_field = !is_text && depth == 1 && matches!(byte, b'{' | b',');
        if is_before_field && let Some(start) = starts.get_mut(at) {
            *start = u32::try_from(place + 1).unwrap_or(u32::MAX);
            at += 1;
        }
    }
    starts
}

/// The chain of replacements that begins with a model's own, to its end.
///
/// No change with a circle passes validation, but a reader must not hang on one: a circle ends where it closes.
#[must_use]
pub fn replacements<'v>(view: &'v View, find: impl Fn(&str) -> Option<&'v View>) -> Vec<&'v View> {
    let mut chain: Vec<&View> = Vec::new();
    let mut next = view.replacement.as_ref();
    let is_new = |chain: &[&View], found: &View| found.id != view.id && chain.iter().all(|other| other.id != found.id);
    while let Some(found) = next.and_then(|id| find(id.as_str())).filter(|found| is_new(&chain, found)) {
        chain.push(found);
        next = found.replacement.as_ref();
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::model;

    #[test]
    fn clients_see_every_digit_and_no_notes() {
        let mut model = model("m");
        model.meta.input_cost_per_million_tokens = Some("570.0000000000001".parse().unwrap());
        model.meta.output_cost_per_million_tokens = None;
        model.meta.internal_notes = "secret".to_owned();
        model.meta.required_tier = Tier::Pro;
        let view = View::render(&model, &"".into(), None, &Policy::default(), "2026-11-21T00:00:00Z".parse().unwrap())
            .unwrap();
        let mut json = Vec::new();
        view.write(Tier::Free, &mut json);
        assert!(json.len() <= view.max_len());
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"id":"m","name":"m","display_name":"m","provider":"p","description":"","capabilities":["text"],"context_length":1000,"max_output_tokens":null,"input_cost_per_million_tokens":570.0000000000001,"output_cost_per_million_tokens":null,"credits_per_1k_tokens":null,"is_available":true,"is_legacy":false,"is_archived":false,"version":"","required_tier":"pro","tier_restriction_mode":"minimum","allowed_tiers":[],"access_status":"upgrade_required","legacy_info":{"is_legacy":false,"replacement_model_id":null,"deprecation_notice":null,"sunset_date":null}}"#
        );
    }

    #[test]
    fn a_fingerprint_is_another_one_with_whatever_changes() {
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        let fingerprint = |model: &Model, entry: &str, policy: &Policy| {
            View::render(model, &entry.into(), None, policy, now).unwrap().fingerprint().to_owned()
        };
        let (plain, policy) = (model("m"), Policy::default());
        let mut priced = plain.clone();
        priced.meta.input_cost_per_million_tokens = Some("2".parse().unwrap());
        let mut dear = Policy::default();
        dear.credits.margin = "3".parse().unwrap();
        let mut retired = plain.clone();
        retired.is_archived = true;
        let all = [
            fingerprint(&plain, "{}", &policy),
            fingerprint(&plain, "{ }", &policy),
            fingerprint(&priced, "{}", &policy),
            fingerprint(&plain, "{}", &dear),
            fingerprint(&retired, "{}", &policy),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
        assert_eq!(all[0], fingerprint(&plain, "{}", &policy));
        assert!(all.iter().all(|fingerprint| fingerprint.len() == 32));
    }

    #[test]
    fn some_fields_are_those_of_the_whole() {
        let mut model = model("m");
        model.meta.description = "a \"quoted\", {braced} [and] \\ text, with id".to_owned();
        model.meta.deprecation_notice = Some("going".to_owned());
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        let view = View::render(&model, &"".into(), None, &Policy::default(), now).unwrap();
        assert_eq!((view.display_name(), view.description()), ("m".to_owned(), model.meta.description.clone()));
        let mut whole = Vec::new();
        view.write(Tier::Pro, &mut whole);
        let written = |list: &str| {
            let mut json = Vec::new();
            view.write_fields(Fields::parse(list).unwrap(), Tier::Pro, &mut json);
            String::from_utf8(json).unwrap()
        };
        assert_eq!(written(&FIELDS.join(",")).as_bytes(), whole);
        let whole: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&whole).unwrap();
        assert_eq!(whole.len(), FIELDS.len());
        for field in FIELDS {
            let one: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&written(field)).unwrap();
            assert_eq!((one.len(), &one[field]), (1, &whole[field]));
        }
        let pair = r#"{"id":"m","legacy_info":{"is_legacy":false,"#;
        assert!(written("legacy_info,id,id").starts_with(pair));
        for list in ["", "id,", "Id", "id,nope"] {
            assert!(Fields::parse(list).unwrap_err().contains("the fields are id, name"), "{list}");
        }
    }
}
