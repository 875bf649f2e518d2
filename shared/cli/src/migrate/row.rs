//! A row as a model: what is taken as it is, what is converted, and what the format needs and the row does not have.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::Offset;
use roster_core::meta::{Capability, Meta};
use roster_core::tier::{RestrictionMode, Tier};
use roster_core::{Exact, Model, ModelId, Price};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::table::{Row, shorten};
use super::{PriceUnit, Rules};

/// Where a field of a model has its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The column's value as it was.
    Taken,
    /// The column's value, written otherwise: how.
    Converted(BTreeSet<String>),
    /// The row had none: what stands there now.
    Defaulted(String),
}

/// A field of a model, the column of its value and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Its place among the fields: rows do not all have the same.
    pub(crate) place: usize,
    pub(crate) name: String,
    pub(crate) column: Option<String>,
    pub(crate) origin: Origin,
}

/// The model of a row, or everything that is wrong with it.
pub(crate) fn model(row: &Row, rules: &Rules) -> Result<(Model, Vec<Field>), Vec<String>> {
    let mut cells = Cells { row, seen: BTreeSet::new(), fields: Vec::new(), problems: Vec::new() };
    let id: Option<ModelId> = cells.read("id", &[rules.id_column], |value| {
        Read::taken(ModelId::parse(&plain(value)?).map_err(|error| error.to_string())?)
    });
    let id_text = id.as_ref().map(ModelId::to_string).unwrap_or_default();
    let name = cells.read("name", &["name"], free_text);
    let name = cells.or_default(name, "name", "the id", id_text);
    let provider = cells.read("provider", &["provider"], |value| Read::taken(plain(value)?));
    let provider = match (provider, &rules.provider) {
        (None, Some(named)) => Some(cells.or_default(None, "provider", named, named.clone())),
        (provider, _) => provider,
    };
    let aliases = cells.read("aliases", &["aliases"], |value| {
        list(value, |item| ModelId::parse(item).map_err(|error| error.to_string()))
    });
    let is_archived = cells.read("isArchived", &["is_archived"], boolean);
    let is_archived = cells.or_default(is_archived, "isArchived", "false", false);
    let is_available = cells.read("isAvailable", &["is_available"], boolean);
    let said = if is_archived { "false, for it is archived" } else { "true" };
    let is_available = cells.or_default(is_available, "isAvailable", said, !is_archived);
    let is_legacy = cells.read("isLegacy", &["is_deprecated", "is_legacy"], boolean);
    let is_legacy = cells.or_default(is_legacy, "isLegacy", "false", false);
    let display_name = cells.read("displayName", &["display_name"], free_text);
    let display_name = cells.or_default(display_name, "displayName", "the name", name.clone());
    let description = cells.read("description", &["description"], free_text).unwrap_or_default();
    let version = cells.read("version", &["version"], free_text).unwrap_or_default();
    let capabilities = cells.read("capabilities", &["capabilities"], |value| capabilities(value, rules));
    let context_length = cells.read("contextLength", &["context_length"], whole_number);
    let max_output_tokens = cells.read("maxOutputTokens", &["max_output_tokens"], whole_number);
    let mut price = |field: &str, column: &'static str| {
        let read = cells.read(field, &[column], |value| price(value, rules.price_unit));
        cells.or_default(read.map(Some), field, "null, which is unknown", None)
    };
    let input = price("inputCostPerMillionTokens", "input_cost_per_million_tokens");
    let output = price("outputCostPerMillionTokens", "output_cost_per_million_tokens");
    let credits = cells.read("creditsPer1kTokens", &["credits_per_1k_tokens"], whole_number);
    let required_tier = cells.read("requiredTier", &["required_tier"], |value| Read::taken(tier(&plain(value)?)?));
    let required_tier = cells.or_default(required_tier, "requiredTier", "free", Tier::Free);
    let mode = cells
        .read("tierRestrictionMode", &["tier_restriction_mode"], |value| Read::taken(named(&plain(value)?, "mode")?));
    let mode = cells.or_default(mode, "tierRestrictionMode", "minimum", RestrictionMode::Minimum);
    let allowed_tiers = cells.read("allowedTiers", &["allowed_tiers"], |value| list(value, tier));
    let allowed_tiers = cells.or_default(allowed_tiers, "allowedTiers", "an empty list", Vec::new());
    let replacement = ["replacement_model_id", "legacy_replacement_model_id"];
    let replacement = cells.read("legacyReplacementModelId", &replacement, |value| {
        Read::taken(ModelId::parse(&plain(value)?).map_err(|error| error.to_string())?)
    });
    let notice = cells.read("deprecationNotice", &["deprecation_notice"], free_text);
    let sunset = cells.read("sunsetDate", &["sunset_date"], instant);
    let provider_metadata = cells.rest();
    let id = cells.required(id, rules.id_column);
    let provider = cells.required(provider, "provider");
    let capabilities = cells.required(capabilities, "capabilities");
    let (Some(id), Some(provider), Some(capabilities), true) = (id, provider, capabilities, cells.problems.is_empty())
    else {
        return Err(cells.problems);
    };
    let meta = Meta {
        display_name,
        description,
        version,
        capabilities,
        context_length,
        max_output_tokens,
        input_cost_per_million_tokens: input,
        output_cost_per_million_tokens: output,
        prices: None,
        price_schedule: Vec::new(),
        credits_per_1k_tokens: credits,
        required_tier,
        tier_restriction_mode: mode,
        allowed_tiers,
        legacy_replacement_model_id: replacement,
        deprecation_notice: notice,
        sunset_date: sunset,
        provider_metadata,
        internal_notes: String::new(),
        compliance_tags: Vec::new(),
    };
    let model = Model {
        id,
        name,
        provider,
        aliases: aliases.unwrap_or_default(),
        is_available,
        is_legacy,
        is_archived,
        protected: false,
        meta,
        versions: Vec::new(),
        rollout: None,
    };
    Ok((model, cells.fields))
}

/// A value that was read, and how it is written otherwise now.
struct Read<T> {
    value: T,
    how: BTreeSet<String>,
}

impl<T> Read<T> {
    fn taken(value: T) -> Result<Self, String> {
        Ok(Self { value, how: BTreeSet::new() })
    }

    fn converted(value: T, how: impl Into<String>) -> Result<Self, String> {
        Ok(Self { value, how: BTreeSet::from([how.into()]) })
    }
}

/// A row while it is read.
struct Cells<'a> {
    row: &'a Row,
    seen: BTreeSet<&'static str>,
    fields: Vec<Field>,
    problems: Vec<String>,
}

impl Cells<'_> {
    /// The value of a field from the columns that may hold it; when several do, they have to agree.
    fn read<T: PartialEq>(
        &mut self,
        field: &str,
        columns: &[&'static str],
        read: impl Fn(&Value) -> Result<Read<T>, String>,
    ) -> Option<T> {
        let mut found: Option<(&'static str, Read<T>)> = None;
        for &column in columns {
            self.seen.insert(column);
            let Some(value) = self.row.cells.get(column) else { continue };
            match (read(value), &found) {
                (Err(message), _) => self.problems.push(format!("column {column}: {message}")),
                (Ok(read), Some((other, first))) if first.value != read.value => {
                    self.problems
                        .push(format!("columns {other} and {column} contradict each other: correct one of them"));
                }
                (Ok(_), Some(_)) => {}
                (Ok(read), None) => found = Some((column, read)),
            }
        }
        let (column, Read { value, how }) = found?;
        let origin = if how.is_empty() { Origin::Taken } else { Origin::Converted(how) };
        self.fields.push(Field {
            place: self.seen.len(),
            name: field.to_owned(),
            column: Some(column.to_owned()),
            origin,
        });
        Some(value)
    }

    /// The value, or what stands in for it where the format requires one.
    fn or_default<T>(&mut self, value: Option<T>, field: &str, said: &str, default: T) -> T {
        value.unwrap_or_else(|| {
            let origin = Origin::Defaulted(said.to_owned());
            self.fields.push(Field { place: self.seen.len(), name: field.to_owned(), column: None, origin });
            default
        })
    }

    /// The value of a column that nothing can stand in for.
    fn required<T>(&mut self, value: Option<T>, column: &str) -> Option<T> {
        if value.is_none() && !self.row.cells.contains_key(column) {
            self.problems.push(format!("column {column}: the row has no value, and there is none to stand in for it"));
        }
        value
    }

    /// The columns that nothing has asked for, as they are.
    fn rest(&mut self) -> serde_json::Map<String, Value> {
        let rest = self.row.cells.iter().filter(|(column, _)| !self.seen.contains(column.as_str()));
        let rest: serde_json::Map<String, Value> =
            rest.map(|(column, value)| (column.clone(), value.clone())).collect();
        let place = self.seen.len() + 1;
        self.fields.extend(rest.keys().map(|column| Field {
            place,
            name: format!("providerMetadata.{column}"),
            column: Some(column.clone()),
            origin: Origin::Taken,
        }));
        rest
    }
}

/// A scalar as it is written, without the blanks around it.
fn plain(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        other => Err(format!("expected one value, found {}", shorten(&other.to_string()))),
    }
}

fn free_text(value: &Value) -> Result<Read<String>, String> {
    match value {
        Value::String(text) => Read::taken(text.clone()),
        Value::Number(number) => Read::converted(number.to_string(), "number to text"),
        other => Err(format!("expected text, found {}", shorten(&other.to_string()))),
    }
}

fn boolean(value: &Value) -> Result<Read<bool>, String> {
    let text = plain(value)?;
    let truth = match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" => true,
        "false" | "f" | "0" | "no" => false,
        _ => {
            return Err(format!(
                "{:?} is neither true nor false: write true, t, 1, yes, false, f, 0 or no",
                shorten(&text)
            ));
        }
    };
    if text == truth.to_string() { Read::taken(truth) } else { Read::converted(truth, format!("{text} to {truth}")) }
}

fn whole_number(value: &Value) -> Result<Read<u64>, String> {
    let text = plain(value)?;
    let amount = text.parse::<Exact>().map_err(|error| error.to_string())?.amount();
    let whole = amount.fract().is_zero().then(|| amount.trunc().try_into().ok()).flatten();
    let whole: u64 = whole.ok_or_else(|| format!("{} is no whole number of at most 64 bits", shorten(&text)))?;
    if text == whole.to_string() { Read::taken(whole) } else { Read::converted(whole, "written as a whole number") }
}

fn price(value: &Value, unit: PriceUnit) -> Result<Read<Price>, String> {
    let text = plain(value)?;
    let price = text.parse::<Price>().map_err(|error| error.to_string())?;
    match unit {
        PriceUnit::Thousandths if price.to_string() == text => Read::taken(price),
        PriceUnit::Thousandths => Read::converted(price, "written without an exponent"),
        // An exponent moves the point and keeps every digit.
        PriceUnit::Dollars => {
            let price = format!("{price}e3").parse().map_err(|error| format!("in thousandths of a dollar: {error}"))?;
            Read::converted(price, "dollars to thousandths")
        }
    }
}

fn instant(value: &Value) -> Result<Read<Timestamp>, String> {
    let text = plain(value)?;
    if let Ok(instant) = text.parse::<Timestamp>() {
        return if text == instant.to_string() { Read::taken(instant) } else { Read::converted(instant, "to UTC") };
    }
    let local = text.parse::<jiff::civil::DateTime>().and_then(|local| Offset::UTC.to_timestamp(local));
    let error = |_| format!("{:?} is no date: write it as 2026-12-11T00:00:00Z", shorten(&text));
    Read::converted(local.map_err(error)?, "no time zone: read as UTC")
}

fn tier(name: &str) -> Result<Tier, String> {
    name.parse().map_err(|error| format!("{error}; correct it in the table"))
}

fn capabilities(value: &Value, rules: &Rules) -> Result<Read<Vec<Capability>>, String> {
    let mapped = |item: &str| rules.capabilities.get(item).cloned().unwrap_or_else(|| item.to_owned());
    let mut read = list(value, |item| {
        named(&mapped(item), "capability")
            .map_err(|error| format!("{error}; map it with --map-capability {:?}", format!("{}=NEW", shorten(item))))
    })?;
    let renamed = items(value)?.value.into_iter().filter(|item| rules.capabilities.contains_key(item));
    read.how.extend(renamed.map(|item| format!("{item} to {}", mapped(&item))));
    Ok(read)
}

/// The value that a name stands for, or the names that there are.
pub(crate) fn named<T: DeserializeOwned>(name: &str, what: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|error| {
        let error = error.to_string().replace('`', "");
        let known = error.split_once("expected ").map_or(error.as_str(), |(_, known)| known);
        format!("{:?} is no {what}: expected {known}", shorten(name))
    })
}

/// A list of what its items stand for, each once.
fn list<T: PartialEq>(value: &Value, item: impl Fn(&str) -> Result<T, String>) -> Result<Read<Vec<T>>, String> {
    let Read { value: items, mut how } = items(value)?;
    let mut list = Vec::new();
    let mut problems = Vec::new();
    for text in &items {
        match item(text) {
            Ok(read) if list.contains(&read) => {
                how.insert("repeated items once".to_owned());
            }
            Ok(read) => list.push(read),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(Read { value: list, how }) } else { Err(problems.join("; ")) }
}

/// The items of a list in any of its forms.
fn items(value: &Value) -> Result<Read<Vec<String>>, String> {
    let text = match value {
        Value::Array(items) => return Read::taken(items.iter().map(item).collect::<Result<_, _>>()?),
        Value::String(text) => text.trim(),
        other => return Err(format!("expected a list, found {}", shorten(&other.to_string()))),
    };
    if text.starts_with('[') {
        let items = serde_json::from_str::<Vec<Value>>(text)
            .map_err(|error| format!("{:?} is no JSON array: {error}", shorten(text)))?;
        return Read::converted(items.iter().map(item).collect::<Result<_, _>>()?, "JSON text");
    }
    // No name of a model, capability or tier holds what an array literal would have to escape.
    if let Some(inside) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let items = inside.split(',').map(str::trim).filter(|_| !inside.trim().is_empty());
        let unquoted =
            |item: &str| item.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(item).into();
        return Read::converted(items.map(unquoted).collect(), "array literal");
    }
    let separated = |c: char| matches!(c, ',' | ';' | '|') || c.is_whitespace();
    let items: Vec<String> = text.split(separated).filter(|item| !item.is_empty()).map(str::to_owned).collect();
    Read::converted(items, "separated text")
}

fn item(value: &Value) -> Result<String, String> {
    let text = value.as_str().map(|text| text.trim().to_owned());
    text.ok_or_else(|| format!("expected a list of texts, found {} in it", shorten(&value.to_string())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn rules() -> Rules {
        Rules {
            id_column: "id",
            price_unit: PriceUnit::Dollars,
            provider: None,
            capabilities: BTreeMap::from([("tools".to_owned(), "function_calling".to_owned())]),
        }
    }

    fn row(cells: &Value) -> Row {
        let cells = cells.as_object().unwrap().clone().into_iter().collect();
        Row { number: 1, line: 1, cells }
    }

    fn read(cells: &Value) -> Result<(Model, Vec<Field>), Vec<String>> {
        model(&row(cells), &rules())
    }

    #[test]
    fn what_a_row_does_not_have_stands_in_the_report() {
        let (model, fields) = read(&json!({"id": "m", "provider": "p", "capabilities": ["rerank"]})).unwrap();
        assert_eq!((model.name.as_str(), model.meta.display_name.as_str()), ("m", "m"));
        assert_eq!((model.is_available, model.is_legacy, model.is_archived), (true, false, false));
        assert_eq!((model.meta.input_cost_per_million_tokens, model.meta.credits_per_1k_tokens), (None, None));
        let defaulted: Vec<&str> = fields
            .iter()
            .filter(|field| matches!(field.origin, Origin::Defaulted(_)))
            .map(|field| field.name.as_str())
            .collect();
        assert_eq!(
            defaulted,
            [
                "name",
                "isArchived",
                "isAvailable",
                "isLegacy",
                "displayName",
                "inputCostPerMillionTokens",
                "outputCostPerMillionTokens",
                "requiredTier",
                "tierRestrictionMode",
                "allowedTiers",
            ]
        );
        let archived = json!({"id": "m", "provider": "p", "capabilities": "rerank", "is_archived": "yes"});
        assert!(!read(&archived).unwrap().0.is_available);
    }

    #[test]
    fn dollars_become_thousandths_digit_for_digit() {
        for (dollars, thousandths) in [
            ("1.25", "1250"),
            ("0.0875", "87.5"),
            ("1.2505000", "1250.5000"),
            ("0", "0"),
            ("1e-3", "1"),
            ("0.1e1", "1000"),
        ] {
            let read = price(&json!(dollars), PriceUnit::Dollars).unwrap();
            assert_eq!(read.value.to_string(), thousandths, "{dollars}");
        }
        let number: Value = serde_json::from_str("0.30000000000000004").unwrap();
        assert_eq!(price(&number, PriceUnit::Dollars).unwrap().value.to_string(), "300.00000000000004");
        for bad in ["$1", "1,250", "-1", "free", "9999999999999999999999999999"] {
            assert!(price(&json!(bad), PriceUnit::Dollars).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_and_truths_have_many_forms() {
        let expected = ["a", "b-c"];
        for text in ["a,b-c", "a b-c", " a ;b-c", "a | b-c", "{a,b-c}", "{\"a\", \"b-c\"}", "[\"a\",\"b-c\"]"] {
            assert_eq!(items(&json!(text)).unwrap().value, expected, "{text}");
        }
        assert_eq!(items(&json!("{}")).unwrap().value, [""; 0]);
        for bad in [json!("[1]"), json!("[a]"), json!(7), json!([null])] {
            assert!(items(&bad).is_err(), "{bad}");
        }
        for truth in [json!(true), json!(1), json!("t"), json!("TRUE"), json!(" yes ")] {
            assert!(boolean(&truth).unwrap().value, "{truth}");
        }
        assert!(boolean(&json!("maybe")).is_err());
    }

    #[test]
    fn numbers_and_instants_are_exact_or_refused() {
        assert_eq!(whole_number(&json!("128000.0")).unwrap().value, 128_000);
        for bad in ["1.5", "-1", "18446744073709551616", "many"] {
            assert!(whole_number(&json!(bad)).is_err(), "{bad}");
        }
        for text in ["2026-12-11T00:00:00Z", "2026-12-11", "2026-12-11 02:00:00+02", "2026-12-11 00:00:00.000"] {
            assert_eq!(instant(&json!(text)).unwrap().value.to_string(), "2026-12-11T00:00:00Z", "{text}");
        }
        for bad in ["infinity", "11.12.2026", "1765411200"] {
            assert!(instant(&json!(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_mistake_of_a_row_is_told() {
        let problems = read(&json!({
            "id": "a b", "capabilities": "sight,tools,smell", "required_tier": "gold", "tier_restriction_mode": "some",
            "is_deprecated": true, "is_legacy": false, "context_length": [1],
        }))
        .unwrap_err();
        let all = problems.join("\n");
        for part in [
            "column id: \"a b\" is not a model id",
            "column capabilities: \"sight\" is no capability: expected one of text, vision,",
            "map it with --map-capability \"sight=NEW\"; \"smell\" is no capability",
            "column required_tier: \"gold\" is no tier: expected one of free, pro,",
            "column tier_restriction_mode: \"some\" is no mode: expected one of minimum, exact, whitelist",
            "columns is_deprecated and is_legacy contradict each other",
            "column context_length: expected one value, found [1]",
            "column provider: the row has no value",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
        assert_eq!(problems.len(), 7, "{all}");
    }
}
