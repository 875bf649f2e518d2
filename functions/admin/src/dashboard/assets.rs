//! What pages are made with: files of this build, under names that change with what they hold.

use std::sync::LazyLock;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use roster_core::canonical::sha256_hex;
use roster_http::Reply;

use super::guard::guarded;

struct Asset {
    /// The name in the build.
    plain: &'static str,
    /// The name in pages: the same with a digest in it.
    name: String,
    media_type: &'static str,
    content: &'static str,
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    [
        asset("style.css", "text/css; charset=utf-8", include_str!("../../assets/style.css")),
        asset("app.js", "text/javascript; charset=utf-8", include_str!("../../assets/app.js")),
        // What npm's package htmx.org has; scripts/test compares the two.
        asset("htmx.js", "text/javascript; charset=utf-8", include_str!("../../assets/htmx.min.js")),
        asset("icon.svg", "image/svg+xml; charset=utf-8", include_str!("../../assets/icon.svg")),
    ]
});

fn asset(plain: &'static str, media_type: &'static str, content: &'static str) -> Asset {
    let (stem, extension) = plain.rsplit_once('.').unwrap_or((plain, ""));
    let digest = sha256_hex(content.as_bytes());
    Asset { plain, name: format!("{stem}.{}.{extension}", &digest[..12]), media_type, content }
}

/// The name of an asset in pages.
pub(crate) fn name(plain: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.plain == plain).map_or("", |asset| asset.name.as_str())
}

/// The asset of this name.
pub(crate) fn reply(name: &str) -> Option<Reply> {
    let asset = ASSETS.iter().find(|asset| asset.name == name)?;
    let reply = guarded(Reply { body: asset.content.into(), ..Reply::empty(StatusCode::OK) });
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    Some(
        reply.with_header(CONTENT_TYPE, HeaderValue::from_static(asset.media_type)).with_header(CACHE_CONTROL, forever),
    )
}
