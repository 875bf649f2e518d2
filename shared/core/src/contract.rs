//! How values look that are read and written by hand, for the OpenAPI document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

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
