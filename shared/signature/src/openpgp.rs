//! OpenPGP signatures, as RFC 9580 describes them.
//!
//! The library checks each signature by itself; what makes a key good at a time, out of the signatures that a key
//! carries of itself, is here.

use jiff::Timestamp;
use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SignatureVersion, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{Duration, KeyDetails, PublicParams, Tag, VerifyingKey};

use crate::{SignatureProblem, Signer};

/// Below, an RSA key is within reach of factoring. RFC 9580, section 12.4: implementations should reject those.
const MIN_RSA_BITS: u16 = 2048;

/// Reads one armored block. Of several keys in it, those that may sign nothing are left out: an exported keyring, as
/// GitHub's, also holds those of earlier years.
pub(crate) fn keys(text: &str) -> Result<Vec<SignedPublicKey>, String> {
    let unreadable = |error: pgp::errors::Error| format!("is not an OpenPGP public key: {error}");
    let (keys, _) = SignedPublicKey::from_string_many(text).map_err(unreadable)?;
    let keys = keys.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let names: Vec<String> = keys.iter().map(|key| format!("{:X}", key.fingerprint())).collect();
    let signing: Vec<_> = keys.into_iter().filter(may_sign).collect();
    match (signing.is_empty(), names.is_empty()) {
        (false, _) => Ok(signing),
        (true, true) => Err("is not an OpenPGP public key: the block is empty".to_owned()),
        (true, false) => {
            let names = names.join(" and ");
            Err(format!("OpenPGP key {names} signs nothing: it, or a subkey, needs the flag for signing"))
        }
    }
}

fn may_sign(key: &SignedPublicKey) -> bool {
    let subkeys = key.public_subkeys.iter().filter_map(|subkey| sub_binding(key, subkey));
    binding(key).is_some_and(|primary| primary.signs || subkeys.into_iter().any(|subkey| subkey.signs))
}

pub(crate) fn verify(
    text: &str,
    payload: &[u8],
    allowed: &[SignedPublicKey],
    now: Timestamp,
) -> Result<Signer, SignatureProblem> {
    let signature = read(text)?;
    let mut refused = None;
    for key in allowed {
        let mut judged = Vec::new();
        if names(&signature, &key.primary_key) {
            judged.push(judge(&signature, payload, key, &key.primary_key, None, now));
        }
        for subkey in key.public_subkeys.iter().filter(|subkey| names(&signature, &subkey.key)) {
            judged.push(judge(&signature, payload, key, &subkey.key, Some(subkey), now));
        }
        // Two keys may have one key id: what one of them did not sign, the other may have.
        for judged in judged {
            match judged {
                Ok(()) => return Ok(Signer { fingerprint: format!("{:X}", key.fingerprint()), comment: user(key) }),
                Err(problem) => refused = refused.or(Some(problem)),
            }
        }
    }
    Err(refused.unwrap_or_else(|| SignatureProblem::NotAllowed { key: issuer(&signature) }))
}

/// The one signature of a block. Its type must be that over a document: other types say other things (RFC 9580,
/// section 5.2.1), and git makes no other.
fn read(text: &str) -> Result<Signature, SignatureProblem> {
    let unreadable = |what: String| SignatureProblem::Unreadable(what);
    let (mut found, _) = DetachedSignature::from_string_many(text).map_err(|error| unreadable(error.to_string()))?;
    let signature = found.next().ok_or_else(|| unreadable("it is empty".to_owned()))?;
    let signature = signature.map_err(|error| unreadable(error.to_string()))?.signature;
    if found.next().is_some() {
        return Err(unreadable("it is more than one".to_owned()));
    }
    if signature.typ() != Some(SignatureType::Binary) || signature.created().is_none() {
        return Err(unreadable("it is not one of a document".to_owned()));
    }
    if issuers(&signature).is_empty() {
        return Err(unreadable("it names no key".to_owned()));
    }
    Ok(signature)
}

/// Whether a key, or its subkey, made a signature and may have made it.
fn judge<K: VerifyingKey + Serialize>(
    signature: &Signature,
    payload: &[u8],
    key: &SignedPublicKey,
    component: &K,
    subkey: Option<&SignedPublicSubKey>,
    now: Timestamp,
) -> Result<(), SignatureProblem> {
    let name = || format!("OpenPGP key {:X}", key.fingerprint());
    let unfit = |why: &str| Err(SignatureProblem::Unfit { key: name(), why: why.to_owned() });
    if let Some(why) = weakness(component.public_params()).or_else(|| flaw(signature)) {
        return unfit(&why);
    }
    signature.verify(component, payload).map_err(|_| SignatureProblem::Misfit { key: name() })?;

    if is_revoked(key) || subkey.is_some_and(|subkey| is_sub_revoked(key, subkey)) {
        return unfit("which is revoked");
    }
    let Some(primary) = binding(key) else {
        return unfit("which has no valid signature of its own on it");
    };
    let sub = subkey.map(|subkey| sub_binding(key, subkey));
    let signer = match &sub {
        Some(None) => return unfit("whose subkey has no valid signature of the key on it"),
        Some(Some(sub)) => sub,
        None => &primary,
    };
    if !signer.signs {
        return unfit("which is not for signing");
    }
    let made = seconds(signature);
    if made < component.created_at().as_secs() {
        return unfit("which was made after the signature");
    }
    let ends = [
        ("the signature", signature_end(signature)),
        ("the key", primary.expires),
        ("its subkey", sub.as_ref().and_then(|sub| sub.as_ref()?.expires)),
    ];
    for (what, end) in ends {
        if let Some(on) = end.filter(|end| *end <= now) {
            return Err(SignatureProblem::Expired { key: name(), what, on });
        }
    }
    Ok(())
}

/// What a key says of itself, or of its subkey, that still holds.
struct Binding {
    /// When it ends.
    expires: Option<Timestamp>,
    /// Whether it is for signing data (RFC 9580, section 5.2.3.29); what does not say so is not.
    signs: bool,
}

/// What a primary key says of itself: in the newest signature on one of its user ids, in the newest on the key alone,
/// and where both say when it expires, in that which says it earlier.
///
/// RFC 9580, section 5.2.3.10: of several self-signatures, the most recent is the one to go by.
fn binding(key: &SignedPublicKey) -> Option<Binding> {
    let primary = &key.primary_key;
    let direct = key.details.direct_signatures.iter();
    let direct = direct.filter(|signature| signature.typ() == Some(SignatureType::Key) && flaw(signature).is_none());
    let direct = newest(direct.filter(|signature| signature.verify_key(primary).is_ok()));

    let users = key.details.users.iter().filter_map(|user| {
        let own = |signature: &&Signature| signature.verify_certification(primary, Tag::UserId, &user.id).is_ok();
        let (revocations, certifications): (Vec<_>, Vec<_>) =
            user.signatures.iter().partition(|signature| signature.typ() == Some(SignatureType::CertRevocation));
        let sound = certifications.into_iter().filter(|signature| flaw(signature).is_none());
        let certified = newest(sound.filter(own))?;
        let revoked = newest(revocations.into_iter().filter(own));
        revoked.is_none_or(|revoked| revoked.created() < certified.created()).then_some(certified)
    });
    let said: Vec<&Signature> = direct.into_iter().chain(newest(users)).collect();
    if said.is_empty() || weakness(primary.public_params()).is_some() {
        return None;
    }
    let created = primary.created_at().as_secs();
    Some(Binding {
        expires: said.iter().filter_map(|signature| key_end(created, signature)).min(),
        signs: said.iter().any(|signature| signature.key_flags().sign()),
    })
}

/// What a primary key says of its subkey. For one that signs, the subkey says in turn that it belongs to the key
/// (RFC 9580, section 5.2.1.9): otherwise anybody could call somebody else's subkey their own.
fn sub_binding(key: &SignedPublicKey, subkey: &SignedPublicSubKey) -> Option<Binding> {
    let bindings = subkey.signatures.iter();
    let bindings = bindings.filter(|signature| signature.typ() == Some(SignatureType::SubkeyBinding));
    let sound = bindings.filter(|signature| flaw(signature).is_none());
    let said =
        newest(sound.filter(|signature| signature.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok()))?;
    let agreed = said.embedded_signature().is_some_and(|back| {
        flaw(back).is_none() && back.verify_primary_key_binding(&subkey.key, &key.primary_key).is_ok()
    });
    let is_weak = weakness(subkey.key.public_params()).is_some();
    Some(Binding {
        expires: key_end(subkey.key.created_at().as_secs(), said),
        signs: said.key_flags().sign() && agreed && !is_weak,
    })
}

/// A revocation counts whatever its reason and its time: both are claims, of whoever may have the key by now.
fn is_revoked(key: &SignedPublicKey) -> bool {
    key.details.revocation_signatures.iter().any(|signature| signature.verify_key(&key.primary_key).is_ok())
}

fn is_sub_revoked(key: &SignedPublicKey, subkey: &SignedPublicSubKey) -> bool {
    let revocations = subkey.signatures.iter();
    let mut revocations = revocations.filter(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
    revocations.any(|signature| signature.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok())
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| signature.created())
}

/// Why a signature does not count whoever made it: it is of an old version, which says too little; its hash is broken (RFC 9580, section 9.5), or it says something
/// that must be understood and is not (section 5.2.3.7).
fn flaw(signature: &Signature) -> Option<String> {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha256, Sha384, Sha512};
    if !matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6) {
        return Some(format!("with a signature of version {}", u8::from(signature.version())));
    }
    match signature.hash_alg() {
        Some(Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512) => {}
        Some(weak) => return Some(format!("over a {weak} hash, which proves nothing any more")),
        None => return Some("with a signature that has no hash".to_owned()),
    }
    let is_unknown = |data: &SubpacketData| {
        matches!(data, SubpacketData::Experimental(..) | SubpacketData::Other(..) | SubpacketData::Notation(_))
    };
    let mut subpackets = signature.config()?.hashed_subpackets();
    let unknown = subpackets.any(|subpacket| subpacket.is_critical && is_unknown(&subpacket.data));
    unknown.then(|| "under a condition that is not known".to_owned())
}

/// Why a key proves nothing.
fn weakness(key: &PublicParams) -> Option<String> {
    match key {
        PublicParams::RSA(_) => {
            // The first number of an RSA key is its modulus, and begins with its length in bits (RFC 9580, section 3.2).
            let bytes = key.to_bytes().unwrap_or_default();
            let bits = bytes.first_chunk().map_or(0, |bits| u16::from_be_bytes(*bits));
            (bits < MIN_RSA_BITS).then(|| format!("which has only {bits} bits"))
        }
        PublicParams::ECDSA(_) | PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => {
            None
        }
        _ => Some("whose algorithm is not verified".to_owned()),
    }
}

/// When a key ends by what is said of it: a key's end is told in seconds from its creation (RFC 9580, section
/// 5.2.3.13), and what is said may end sooner.
fn key_end(created: u32, binding: &Signature) -> Option<Timestamp> {
    let key = end(created, binding.key_expiration_time().map_or(0, Duration::as_secs));
    key.into_iter().chain(signature_end(binding)).min()
}

/// A signature's end is told in seconds from its creation (RFC 9580, section 5.2.3.18).
fn signature_end(signature: &Signature) -> Option<Timestamp> {
    end(seconds(signature), signature.signature_expiration_time().map_or(0, Duration::as_secs))
}

fn seconds(signature: &Signature) -> u32 {
    signature.created().map_or(0, pgp::types::Timestamp::as_secs)
}

/// The end of a duration, where 0 stands for none.
fn end(from: u32, seconds: u32) -> Option<Timestamp> {
    (seconds > 0).then(|| Timestamp::from_second(i64::from(from) + i64::from(seconds)).unwrap_or(Timestamp::MAX))
}

/// Whether a signature names a key as its own: by fingerprint, or by key id when it has no fingerprint.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    match signature.issuer_fingerprint().as_slice() {
        [] => signature.issuer_key_id().contains(&&key.legacy_key_id()),
        fingerprints => fingerprints.contains(&&key.fingerprint()),
    }
}

/// The keys that a signature names, as fingerprints or else as key ids.
fn issuers(signature: &Signature) -> Vec<String> {
    match signature.issuer_fingerprint().as_slice() {
        [] => signature.issuer_key_id().iter().map(|id| id.to_string().to_uppercase()).collect(),
        fingerprints => fingerprints.iter().map(|fingerprint| format!("{fingerprint:X}")).collect(),
    }
}

fn issuer(signature: &Signature) -> String {
    format!("OpenPGP key {}", issuers(signature).join(" or "))
}

fn user(key: &SignedPublicKey) -> String {
    key.details.users.first().map(|user| String::from_utf8_lossy(user.id.id()).into_owned()).unwrap_or_default()
}
