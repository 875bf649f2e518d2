//! Query parameters, read strictly: what is not known is an error, and all errors are told at once.

use std::fmt::Display;
use std::ops::RangeInclusive;

use http::StatusCode;
use serde_json::json;

use crate::problem::Problem;
use crate::request::Request;

/// The query of a request, while it is read. Reading a parameter makes it known.
#[derive(Debug)]
pub struct Query<'r> {
    request: &'r Request,
    known: Vec<&'static str>,
    errors: Vec<(String, String)>,
}

impl<'r> Query<'r> {
    /// The query of a request.
    #[must_use]
    pub fn of(request: &'r Request) -> Self {
        Self { request, known: Vec::new(), errors: Vec::new() }
    }

    /// A parameter that may be given once.
    pub fn one<T, E: Display>(&mut self, name: &'static str, read: impl FnOnce(&'r str) -> Result<T, E>) -> Option<T> {
        let mut values = self.values(name);
        let value = values.next()?;
        if values.next().is_some() {
            self.errors.push((name.to_owned(), "is given more than once".to_owned()));
            return None;
        }
        self.noting(name, read(value))
    }

    /// A parameter that may be given any number of times.
    pub fn many<T, E: Display>(&mut self, name: &'static str, read: impl Fn(&'r str) -> Result<T, E>) -> Vec<T> {
        self.values(name).filter_map(|value| self.noting(name, read(value))).collect()
    }

    /// A parameter that is a text of at least one character.
    pub fn text(&mut self, name: &'static str) -> Option<&'r str> {
        self.one(name, |value| if value.is_empty() { Err("is empty: leave it out instead") } else { Ok(value) })
    }

    /// A parameter that is `true` or `false`.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.one(name, |value| value.parse().map_err(|_| format!("\"{value}\" is neither true nor false")))
    }

    /// A parameter that is a whole number within limits.
    pub fn number(&mut self, name: &'static str, range: RangeInclusive<usize>) -> Option<usize> {
        self.one(name, |value| {
            let number = value.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("\"{value}\" is no whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with every parameter that is unknown or cannot be used.
    pub fn finish(mut self) -> Result<(), Problem> {
        let mut unknown: Vec<&str> = self.request.query.iter().map(|(name, _)| name.as_str()).collect();
        unknown.retain(|name| !self.known.contains(name));
        unknown.sort_unstable();
        unknown.dedup();
        let known = match self.known.as_slice() {
            [] => "there are no parameters here".to_owned(),
            names => format!("the known ones are {}", names.join(", ")),
        };
        self.errors.extend(unknown.into_iter().map(|name| (name.to_owned(), format!("is unknown: {known}"))));
        if self.errors.is_empty() {
            return Ok(());
        }
        let told: Vec<String> = self.errors.iter().map(|(name, detail)| format!("{name} {detail}")).collect();
        let errors: Vec<_> =
            self.errors.iter().map(|(name, detail)| json!({"parameter": name, "detail": detail})).collect();
        Err(Problem::new(StatusCode::BAD_REQUEST, "bad-parameter", "Bad parameter", told.join("; "))
            .with("errors", errors))
    }

    fn values(&mut self, name: &'static str) -> impl Iterator<Item = &'r str> + use<'r> {
        self.known.push(name);
        self.request.query.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn noting<T, E: Display>(&mut self, name: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.errors.push((name.to_owned(), error.to_string()))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::get;

    #[test]
    fn what_is_well_formed_is_read() {
        let request = get("/?tag=a&limit=7&on=true&tag=b&name=x");
        let mut query = Query::of(&request);
        assert_eq!(query.number("limit", 1..=10), Some(7));
        assert_eq!(query.flag("on"), Some(true));
        assert_eq!(query.flag("off"), None);
        assert_eq!(query.text("name"), Some("x"));
        assert_eq!(query.many("tag", Ok::<_, String>), ["a", "b"]);
        assert!(query.finish().is_ok());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let request = get("/?limit=0&on=yes&name=&x=1&one=1&one=2&tag=1&tag=b&x=2");
        let mut query = Query::of(&request);
        query.number("limit", 1..=10);
        query.flag("on");
        query.text("name");
        query.text("one");
        let read: Vec<u8> = query.many("tag", |value| value.parse().map_err(|_| format!("\"{value}\" is no number")));
        assert_eq!(read, [1]);
        let problem = query.finish().unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        let reply = problem.into_reply("r");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let errors = json!([
            {"parameter": "limit", "detail": "\"0\" is no whole number from 1 to 10"},
            {"parameter": "on", "detail": "\"yes\" is neither true nor false"},
            {"parameter": "name", "detail": "is empty: leave it out instead"},
            {"parameter": "one", "detail": "is given more than once"},
            {"parameter": "tag", "detail": "\"b\" is no number"},
            {"parameter": "x", "detail": "is unknown: the known ones are limit, on, name, one, tag"},
        ]);
        assert_eq!(body["errors"], errors);
    }
}
