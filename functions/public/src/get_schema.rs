//! `GET /schemas/{name}`: the JSON Schema that files of the catalogue follow.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use roster_http::{ETag, Problem, Query, Reply, Request};

/// The schemas by the last part of their `$id`.
pub(crate) const SCHEMAS: [(&str, &str); 2] = [
    ("model.schema.json", include_str!("../../../catalog/schema/model.schema.json")),
    ("policy.schema.json", include_str!("../../../catalog/schema/policy.schema.json")),
];

pub(crate) fn handle(request: &Request) -> Result<Reply, Problem> {
    Query::of(request).finish()?;
    let name = request.path_parameter("name");
    let (_, schema) = SCHEMAS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
        let known = SCHEMAS.map(|(known, _)| known).join(" and ");
        Problem::not_found(format!("no schema is called \"{name}\": there are {known}"))
    })?;
    let etag = ETag::of(["schema", schema]);
    Ok(etag.not_modified(request).unwrap_or_else(|| {
        let reply = Reply::json(StatusCode::OK, *schema).with_etag(&etag);
        reply.with_header(CONTENT_TYPE, HeaderValue::from_static("application/schema+json"))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_called_what_its_id_ends_in() {
        for (name, schema) in SCHEMAS {
            let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
            assert!(schema["$id"].as_str().unwrap().ends_with(&format!("/{name}")), "{name}");
        }
    }
}
