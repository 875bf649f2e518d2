//! A webhook: a signed POST, as <https://www.standardwebhooks.com> specifies it.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use sha2::{Digest as _, Sha256};

use crate::{Message, Undelivered};

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(8);
/// How many bytes a key has, by the specification.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Where notices are posted to, and what they are signed with.
#[derive(Clone)]
pub struct Webhook {
    url: Url,
    name: String,
    keys: Vec<Vec<u8>>,
    client: Client,
}

/// Neither the address nor the keys are for logs.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A webhook that cannot be. The address is not told, for many have a secret in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhook {
    /// Whoever listens in could read it, or it is no address.
    #[error("the address of webhook {0} is no https URL (http is for 127.0.0.1 only)")]
    Address(usize),
    /// There is nothing to sign with.
    #[error("webhooks have no secret to sign with: set one, whsec_ and the Base64 of 24 to 64 random bytes")]
    NoSecret,
    /// The secret is not what the specification says.
    #[error("secret {0} of the webhooks is not whsec_ and the Base64 of 24 to 64 bytes")]
    Secret(usize),
    /// The system offers no TLS.
    #[error("webhooks cannot be called: {0}")]
    Client(String),
}

impl Webhook {
    /// The webhooks at some addresses, parted by commas or spaces, that share their secrets, parted likewise.
    ///
    /// With two secrets each message has two signatures, so that receivers can go from one secret to the next.
    ///
    /// # Errors
    /// [`InvalidWebhook`].
    pub fn parse_all(addresses: &str, secrets: &str) -> Result<Vec<Self>, InvalidWebhook> {
        let keys: Vec<Vec<u8>> = words(secrets)
            .enumerate()
            .map(|(at, text)| key(text).ok_or(InvalidWebhook::Secret(at + 1)))
            .collect::<Result<_, _>>()?;
        let webhook = |(at, address): (usize, &str)| {
            let url = trustworthy(address).ok_or(InvalidWebhook::Address(at + 1))?;
            if keys.is_empty() {
                return Err(InvalidWebhook::NoSecret);
            }
            let host = url.host_str().unwrap_or_default();
            let digest: String = Sha256::digest(address)[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            let name = format!("webhook {host} {digest}");
            // Lambda may freeze the process between two calls, which a kept connection would not outlive.
            let mut client = Client::builder()
                .user_agent("roster")
                .timeout(TIMEOUT)
                .redirect(Policy::none())
                .pool_max_idle_per_host(0);
            if url.scheme() == "http" {
                // It is this machine's: it needs no certificates, and no proxy may come between.
                client = client.tls_certs_only([]).no_proxy();
            }
            let client = client.build().map_err(|error| InvalidWebhook::Client(error.to_string()))?;
            Ok(Self { url, name, keys: keys.clone(), client })
        };
        words(addresses).enumerate().map(webhook).collect()
    }

    /// What it is called: the host, and a fingerprint of the address.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Posts a message. Any 2xx is a receipt; a redirect is none, for it could lead anywhere.
    pub(crate) async fn post(&self, message: Message<'_>, now: Timestamp) -> Result<(), Undelivered> {
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", now.as_second())
            .header("webhook-signature", self.signatures(message, now))
            .body(message.body.to_owned());
        match request.send().await.map(|response| response.status()) {
            Ok(status) if status.is_success() => Ok(()),
            Ok(StatusCode::GONE) => Err(Undelivered::Gone),
            Ok(status) => Err(Undelivered::Failed(format!("the receiver answered {status}"))),
            Err(error) => Err(Undelivered::Failed(chain(&error.without_url()))),
        }
    }

    /// `v1,` and the Base64 of the HMAC-SHA256 of id, timestamp and body, once for each secret.
    fn signatures(&self, message: Message<'_>, now: Timestamp) -> String {
        let content = format!("{}.{}.{}", message.id, now.as_second(), message.body);
        let sign = |key: &Vec<u8>| {
            // An HMAC takes a key of any length.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(content.as_bytes());
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        };
        self.keys.iter().filter_map(sign).collect::<Vec<_>>().join(" ")
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\n', '\t']).filter(|word| !word.is_empty())
}

fn key(secret: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    KEY_BYTES.contains(&key.len()).then_some(key)
}

fn trustworthy(address: &str) -> Option<Url> {
    let url = Url::parse(address).ok()?;
    let is_local = url.scheme() == "http" && url.host_str() == Some("127.0.0.1");
    (url.scheme() == "https" || is_local).then_some(url)
}

/// An error with its causes: the outermost alone says only that something failed.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn signatures_are_those_of_the_specification() {
        // The example of the specification's own libraries.
        let webhook = &Webhook::parse_all("https://example.com", SECRET).unwrap()[0];
        let message = Message { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", kind: "", body: r#"{"test": 2432232314}"# };
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        assert_eq!(webhook.signatures(message, at), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let two = format!("whsec_{} {SECRET}", STANDARD.encode([7; 32]));
        let webhook = &Webhook::parse_all("https://example.com", &two).unwrap()[0];
        let signatures = webhook.signatures(message, at);
        assert_eq!(signatures.split(' ').count(), 2);
        assert!(signatures.ends_with(" v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        let reference = standardwebhooks::Webhook::new(SECRET).unwrap();
        let signed = reference.sign(message.id, at.as_second(), message.body.as_bytes()).unwrap();
        assert!(signatures.ends_with(&signed));
    }

    #[test]
    fn what_is_no_webhook_is_refused_without_its_address() {
        let refused = |addresses: &str, secrets: &str| Webhook::parse_all(addresses, secrets).unwrap_err().to_string();
        for bad in ["http://example.com/key", "ftp://x", "example.com", "http://localhost/"] {
            let told = refused(&format!("https://a.example,{bad}"), SECRET);
            assert_eq!(told, "the address of webhook 2 is no https URL (http is for 127.0.0.1 only)");
        }
        assert!(refused("https://a.example", "").starts_with("webhooks have no secret"));
        for bad in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_x", "whsec_c2hvcnQ="] {
            let told = refused("https://a.example", bad);
            assert_eq!(told, "secret 1 of the webhooks is not whsec_ and the Base64 of 24 to 64 bytes");
        }
        assert_eq!(Webhook::parse_all("", "").unwrap().len(), 0);
        let webhooks = Webhook::parse_all("https://a.example/token https://a.example/other", SECRET).unwrap();
        let shown = format!("{webhooks:?}");
        assert!(!shown.contains("token") && !shown.contains("whsec") && webhooks[0].name() != webhooks[1].name());
    }
}
