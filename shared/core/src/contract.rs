//! How values look that are read and written by hand, for the OpenAPI document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::decimal::Exact;
use crate::inference::{Batch, ErrorKind, MAX_ID, MAX_LATENCY_MS, MAX_NAME, MAX_RESULTS, MAX_TOKENS};
use crate::model::{MAX_ID_CHARS, ModelId};
use crate::price::Price;
use crate::quote::Dollars;

impl JsonSchema for ModelId {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS, "description": "A model's id."})
    }
}

impl JsonSchema for Exact {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Exact".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0})
    }
}

impl JsonSchema for Price {
    fn schema_name() -> Cow<'static, str> {
        "Cost".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = "Thousandths of a US dollar per million tokens, digit for digit: 1250 is $1.25.";
        json_schema!({"type": "number", "minimum": 0, "description": description})
    }
}

impl JsonSchema for Dollars {
    fn schema_name() -> Cow<'static, str> {
        "Dollars".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = "An exact amount of US dollars, without an exponent.";
        json_schema!({"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$", "description": description})
    }
}

impl JsonSchema for Batch {
    fn schema_name() -> Cow<'static, str> {
        "InferenceBatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let version = generator.subschema_for::<Option<semver::Version>>();
        let at = generator.subschema_for::<Option<jiff::Timestamp>>();
        let error = generator.subschema_for::<Option<ErrorKind>>();
        let tokens = json_schema!({"type": ["integer", "null"], "minimum": 0, "maximum": MAX_TOKENS});
        let result = json_schema!({
            "type": "object",
            "description": "The result of one call of a model.",
            "required": ["model", "success", "latencyMs"],
            "additionalProperties": false,
            "properties": {
                "model": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
                "version": version,
                "success": {"type": "boolean"},
                "latencyMs": {"type": "number", "minimum": 0, "maximum": MAX_LATENCY_MS},
                "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
                "inputTokens": tokens.clone(),
                "outputTokens": tokens,
                "error": error,
                "at": at,
            },
        });
        json_schema!({
            "type": "object",
            "description": "Results that are counted once, however often they are sent.",
            "required": ["id", "results"],
            "additionalProperties": false,
            "properties": {
                "id": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
                "results": {"type": "array", "minItems": 1, "maxItems": MAX_RESULTS, "items": result},
            },
        })
    }
}
