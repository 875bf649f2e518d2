//! Which function serves a path, as API Gateway decides it.

use std::collections::BTreeMap;

use http::Method;
use percent_encoding::percent_decode_str;

/// A path with parameters: `/v1/models/{id+}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(Vec<Segment>);

/// The order is API Gateway's preference: an exact segment, then a parameter, then a greedy one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Exact(String),
    Parameter(String),
    Greedy(String),
}

impl Pattern {
    /// Reads a path pattern.
    ///
    /// # Errors
    /// What API Gateway would not take either.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or_else(|| format!("path \"{text}\" does not begin with a slash"))?;
        if path.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let segments = path.split('/').map(segment).collect::<Option<Vec<_>>>();
        let segments = segments.ok_or_else(|| format!("path \"{text}\" has a segment that cannot be read"))?;
        let (_, inner) = segments.split_last().unwrap_or((&Segment::Exact(String::new()), &[]));
        if inner.iter().any(|segment| matches!(segment, Segment::Greedy(_))) {
            return Err(format!("path \"{text}\" goes on after a greedy parameter"));
        }
        Ok(Self(segments))
    }

    /// The parameters of a path that this pattern fits, percent-decoded.
    fn parameters(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let mut rest = Some(path.strip_prefix('/')?).filter(|path| !path.is_empty());
        let mut parameters = BTreeMap::new();
        for segment in &self.0 {
            let all = rest?;
            let (next, after) = all.split_once('/').map_or((all, None), |(next, after)| (next, Some(after)));
            match segment {
                Segment::Exact(expected) if decode(next) == *expected => rest = after,
                Segment::Parameter(name) if !next.is_empty() => {
                    parameters.insert(name.clone(), decode(next));
                    rest = after;
                }
                Segment::Greedy(name) if !all.is_empty() => {
                    parameters.insert(name.clone(), decode(all));
                    rest = None;
                }
                _ => return None,
            }
        }
        rest.is_none().then_some(parameters)
    }

    /// Whether API Gateway could hold both: parameters at one place have one name.
    fn clashes(&self, other: &Self) -> bool {
        let shape = |segments: &[Segment]| -> Vec<Segment> {
            let nameless = |segment: &Segment| match segment {
                Segment::Exact(text) => Segment::Exact(text.clone()),
                Segment::Parameter(_) => Segment::Parameter(String::new()),
                Segment::Greedy(_) => Segment::Greedy(String::new()),
            };
            segments.iter().map(nameless).collect()
        };
        self != other && shape(&self.0) == shape(&other.0)
    }
}

fn segment(text: &str) -> Option<Segment> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match text.strip_prefix('{').map(|text| text.strip_suffix('}')) {
        None => (!text.is_empty() && !text.contains(['{', '}'])).then(|| Segment::Exact(text.to_owned())),
        Some(inner) => match inner?.strip_suffix('+') {
            Some(name) => is_name(name).then(|| Segment::Greedy(name.to_owned())),
            None => is_name(inner?).then(|| Segment::Parameter(inner.unwrap_or_default().to_owned())),
        },
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Routes, each to a `T`.
#[derive(Clone, Debug)]
pub struct Router<T>(Vec<(Pattern, Vec<(Method, T)>)>);

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'r, T> {
    /// To a route, with the path's parameters.
    Route(&'r T, BTreeMap<String, String>),
    /// Nowhere with this method; the path has these routes.
    OtherMethods(&'r [(Method, T)]),
    /// Nowhere.
    Nothing,
}

impl<T> Router<T> {
    /// A router of routes.
    ///
    /// # Errors
    /// Two routes of one method and path, or two paths that differ in the names of parameters only.
    pub fn new(routes: impl IntoIterator<Item = (Method, Pattern, T)>) -> Result<Self, String> {
        let mut paths: BTreeMap<Pattern, Vec<(Method, T)>> = BTreeMap::new();
        for (method, pattern, target) in routes {
            let methods = paths.entry(pattern.clone()).or_default();
            if methods.iter().any(|(other, _)| *other == method) {
                return Err(format!("two functions have the route {method} {pattern}"));
            }
            methods.push((method, target));
            if let Some(other) = paths.keys().find(|other| pattern.clashes(other)) {
                return Err(format!("paths {pattern} and {other} differ in the names of parameters only"));
            }
        }
        // A map's order is its keys', so the first pattern that fits is the most specific one.
        Ok(Self(paths.into_iter().collect()))
    }

    /// Where a request goes. As at API Gateway, HEAD is a method like any other.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Found<'_, T> {
        let fits = self.0.iter().find_map(|(pattern, methods)| Some((pattern.parameters(path)?, methods)));
        let Some((parameters, methods)) = fits else { return Found::Nothing };
        match methods.iter().find(|(served, _)| served == method) {
            Some((_, target)) => Found::Route(target, parameters),
            None => Found::OtherMethods(methods),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Exact(text) => write!(f, "/{text}"),
            Segment::Parameter(name) => write!(f, "/{{{name}}}"),
            Segment::Greedy(name) => write!(f, "/{{{name}+}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[(Method, &str)]) -> Result<Router<String>, String> {
        let route = |(method, path): &(Method, &str)| {
            let pattern = Pattern::parse(path)?;
            Ok((method.clone(), pattern, format!("{method} {path}")))
        };
        Router::new(routes.iter().map(route).collect::<Result<Vec<_>, String>>()?)
    }

    fn models() -> Router<String> {
        router(&[
            (Method::GET, "/v1/models/{id+}"),
            (Method::GET, "/v1/models"),
            (Method::HEAD, "/v1/models"),
            (Method::POST, "/v1/models"),
            (Method::GET, "/admin/{id}/meta"),
            (Method::GET, "/admin/{id}/{verb}"),
            (Method::GET, "/admin/legacy/meta"),
            (Method::GET, "/"),
        ])
        .unwrap()
    }

    fn found(method: Method, path: &str) -> (String, Vec<String>) {
        match models().find(&method, path) {
            Found::Route(route, parameters) => (route.clone(), parameters.into_values().collect()),
            Found::OtherMethods(routes) => {
                ("405".to_owned(), routes.iter().map(|(method, _)| method.to_string()).collect())
            }
            Found::Nothing => ("404".to_owned(), Vec::new()),
        }
    }

    #[test]
    fn routes() {
        for (method, path, route, parameters) in [
            (Method::GET, "/", "GET /", &[] as &[&str]),
            (Method::GET, "/v1/models", "GET /v1/models", &[]),
            (Method::HEAD, "/v1/models", "HEAD /v1/models", &[]),
            (Method::POST, "/v1/models", "POST /v1/models", &[]),
            (Method::DELETE, "/v1/models", "405", &["GET", "HEAD", "POST"]),
            (Method::HEAD, "/v1/models/a/b", "405", &["GET"]),
            (Method::GET, "/v1/models/a%2Fb%20c", "GET /v1/models/{id+}", &["a/b c"]),
            (Method::GET, "/v1/models/a/", "GET /v1/models/{id+}", &["a/"]),
            (Method::GET, "/v1/models/", "404", &[]),
            (Method::GET, "/v1", "404", &[]),
            (Method::GET, "/v1/models2", "404", &[]),
            (Method::GET, "v1/models", "404", &[]),
            (Method::GET, "//v1/models", "404", &[]),
            (Method::GET, "/admin/a%2Fb/meta", "GET /admin/{id}/meta", &["a/b"]),
            (Method::GET, "/admin/a/b/meta", "404", &[]),
            (Method::GET, "/admin//meta", "404", &[]),
            (Method::GET, "/admin/legacy/meta", "GET /admin/legacy/meta", &[]),
            (Method::GET, "/admin/legacy/history", "GET /admin/{id}/{verb}", &["legacy", "history"]),
        ] {
            let expected = (route.to_owned(), parameters.iter().map(ToString::to_string).collect());
            assert_eq!(found(method.clone(), path), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_the_gateway_would_not_take_is_refused() {
        for path in ["", "v1", "/v1/", "//", "/{}", "/{a+}/b", "/{a", "/a{b}", "/{a b}", "/{+}"] {
            assert!(Pattern::parse(path).is_err(), "{path}");
        }
        assert!(router(&[(Method::GET, "/{a}"), (Method::GET, "/{a}")]).is_err());
        assert!(router(&[(Method::GET, "/{a}"), (Method::POST, "/{b}")]).is_err());
        assert!(router(&[(Method::GET, "/{a}"), (Method::POST, "/{a}")]).is_ok());
    }
}
