//! How often a caller may call, and what every reply says about it.

use std::net::{IpAddr, Ipv6Addr};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use roster_core::Policy;
use roster_core::tier::Tier;
use roster_store::{Limiter, Quota};

use crate::auth::Caller;
use crate::problem::Problem;
use crate::request::Request;

/// The limit of a caller's tier: how many requests (`q`) in how many seconds (`w`). Like [`RATE_LIMIT`] a structured
/// field of <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-11>, section 3.
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it: this many requests (`r`) for the next seconds (`t`), section 4. A bucket fills all the time, so
/// `t` is the time in which `r` more come in: both sections 6 and 8.5 ask that using `r` in `t` be a pace that the
/// server can bear. `t` never outlasts `Retry-After`, as section 6 asks too.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Counts a request against the limit of its caller's tier, and answers what its reply shall say about it: nothing
/// when the tier has no limit.
///
/// # Errors
/// 429 beyond the limit.
pub(crate) async fn hold(
    limiter: &Limiter,
    caller: &Caller,
    request: &Request,
    policy: &Policy,
) -> Result<HeaderMap, Problem> {
    let tier = caller.tier.unwrap_or(policy.anonymous_tier);
    let Some(limit) = policy.rate_limits.get(&tier) else { return Ok(HeaderMap::new()) };
    let quota = limiter.take(&bucket_name(caller, request), limit, request.now).await;
    let headers = headers(tier, &quota);
    if quota.allowed { Ok(headers) } else { Err(rate_limited(tier, &quota).with_headers(headers)) }
}

/// Whose requests are counted together: a token's subject's, or else an address's.
fn bucket_name(caller: &Caller, request: &Request) -> String {
    match &caller.subject {
        Some(subject) => format!("sub:{subject}"),
        None => format!("ip:{}", network(request.source_ip.as_deref().unwrap_or_default())),
    }
}

/// The part of an address that a client cannot change at will: within a subnet, every IPv6 host picks the second half
/// of its address itself (RFC 4291, section 2.5.1).
fn network(address: &str) -> String {
    match address.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

fn headers(tier: Tier, quota: &Quota) -> HeaderMap {
    let Quota { limit, remaining, window_seconds, .. } = quota;
    let policy = format!("\"{tier}\";q={};w={}", limit.requests, limit.window_seconds);
    let left = format!("\"{tier}\";r={remaining};t={window_seconds}");
    let fields = [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)];
    fields.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect()
}

fn rate_limited(tier: Tier, quota: &Quota) -> Problem {
    let Quota { limit, retry_after_seconds: seconds, .. } = quota;
    let detail = format!(
        "callers of tier {tier} may send {} in {}: try again in {}",
        counted(limit.requests, "request"),
        counted(limit.window_seconds, "second"),
        counted(*seconds, "second"),
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", detail)
        .with("tier", tier.name())
        .with("retry_after_seconds", *seconds)
        .with_header(RETRY_AFTER, HeaderValue::from(*seconds))
}

fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::get;
    use roster_core::policy::RateLimit;

    const QUOTA: Quota = Quota {
        allowed: true,
        limit: RateLimit { requests: 600, window_seconds: 60 },
        remaining: 599,
        window_seconds: 60,
        retry_after_seconds: 0,
    };

    #[test]
    fn the_headers_are_structured_fields() {
        let headers = headers(Tier::ProMax, &QUOTA);
        assert_eq!(headers["RateLimit-Policy"], "\"pro_max\";q=600;w=60");
        assert_eq!(headers["RateLimit"], "\"pro_max\";r=599;t=60");
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn a_refusal_says_the_limit_and_when_to_try_again() {
        let limit = RateLimit { requests: 1, window_seconds: 60 };
        let quota = Quota { allowed: false, limit, remaining: 0, window_seconds: 41, retry_after_seconds: 41 };
        let reply = rate_limited(Tier::Free, &quota).with_headers(headers(Tier::Free, &quota)).into_reply("request-1");
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(reply.headers[RETRY_AFTER], "41");
        assert_eq!(reply.headers["RateLimit-Policy"], "\"free\";q=1;w=60");
        assert_eq!(reply.headers["RateLimit"], "\"free\";r=0;t=41");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let expected = serde_json::json!({
            "type": "urn:roster:problem:rate-limited",
            "title": "Too many requests",
            "status": 429,
            "detail": "callers of tier free may send 1 request in 60 seconds: try again in 41 seconds",
            "tier": "free",
            "retry_after_seconds": 41,
            "request_id": "request-1",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn whose_requests_are_counted_together() {
        let name = |subject: Option<&str>, address: Option<&str>| {
            let caller = Caller { subject: subject.map(str::to_owned), ..Caller::default() };
            bucket_name(&caller, &Request { source_ip: address.map(str::to_owned), ..get("/") })
        };
        assert_eq!(name(Some("ada"), Some("192.0.2.1")), "sub:ada");
        assert_eq!(name(Some("192.0.2.1"), None), "sub:192.0.2.1");
        assert_eq!(name(None, Some("192.0.2.1")), "ip:192.0.2.1");
        assert_eq!(name(None, Some("::ffff:192.0.2.1")), "ip:192.0.2.1");
        assert_eq!(name(None, Some("2001:db8:1:2:3:4:5:6")), "ip:2001:db8:1:2::/64");
        assert_eq!(name(None, Some("2001:db8:1:2:ffff::")), "ip:2001:db8:1:2::/64");
        assert_eq!(name(None, Some("2001:db8:1:3::1")), "ip:2001:db8:1:3::/64");
        assert_eq!(name(None, None), "ip:");
    }
}
