//! Keys, tokens, an issuer's server and a log, for tests.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The public key of [`rsa`] as openssl writes it: SubjectPublicKeyInfo.
pub(crate) const RSA_PUBLIC_DER: &str = "\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArb/d2KuHO27Fta201UBPSwfJ8HthA6o2Whs/oUdqdAR+YyBABxqzGfSq\
    GwMTzjmx79S9GjMrMU9fICO7qOevWsHyaQT+WZPVfx5hUP/frolwSo00PDb5XTTxqDVRpOdk4MmZ5Vil+2ktb5Lt1hB4uyb0MJEO\
    8ApTAKO5DKR6VkX6EhmpCYamgJV0lUt+Wlt3G/UdRZ+OXZV1oRHNra9rFPjxDTthnzEVOpB7SCnX72zZmw/JbG+tDwIbB1MNCTPE\
    aRXgWaurd1vLtFEoao8j2vROylxwHntK4+iU6DZ/ftHriTcQUIrhUOVbnrdm9upxz/YT0uTihmAU7ClJCgCltQIDAQAB\
    ";
/// The modulus of an RSA key of 1024 bits.
pub(crate) const SMALL_RSA_MODULUS: &str = "\
    5PratbG99P4g18OPLFpAp92diRHuDI_yukilkbAH9L-BzJ5DvnlpVr2unnTgmMc04TBDd0eWGdAfav_mtyXd3ZIlVIuaXYe9No0k\
    dtttsQXK2Rr0KhxHsdIckeGyK0TkLtdcM92BeS02dCe0Y0UkjSrRuDMd5yrlNIiQVo6DPNU\
    ";

/// A key pair made with openssl, for these tests only.
pub(crate) struct TestKey {
    algorithm: Algorithm,
    private: EncodingKey,
    public: Value,
}

/// An RSA key of 2048 bits, for RS256.
pub(crate) fn rsa() -> TestKey {
    let private = "\
        MIIEowIBAAKCAQEArb/d2KuHO27Fta201UBPSwfJ8HthA6o2Whs/oUdqdAR+YyBABxqzGfSqGwMTzjmx79S9GjMrMU9fICO7qOev\
        WsHyaQT+WZPVfx5hUP/frolwSo00PDb5XTTxqDVRpOdk4MmZ5Vil+2ktb5Lt1hB4uyb0MJEO8ApTAKO5DKR6VkX6EhmpCYamgJV0\
        lUt+Wlt3G/UdRZ+OXZV1oRHNra9rFPjxDTthnzEVOpB7SCnX72zZmw/JbG+tDwIbB1MNCTPEaRXgWaurd1vLtFEoao8j2vROylxw\
        HntK4+iU6DZ/ftHriTcQUIrhUOVbnrdm9upxz/YT0uTihmAU7ClJCgCltQIDAQABAoIBAFYCVpV9Q7I+AY0P8iZmcVoY/vQWf03L\
        IqC0QGlb6uyHlPEI8+kQZHyCyvoYKeO6V8T7MKkZj1YXjmVgivLvzbRFsfQezrIVJmiI52+rWlUSIA4nnCX6qLJlFQNJcaMKELvd\
        0Frh6ThtNlq3BxkiikFK5TJtfFGDKtd0NJR3jz/JDcbTLcvaygRLLMjqd3EMIQXclxiMkhsskg5UUJnU3ny5hvGCchBcKDF9hjPi\
        NZ9P8EZHFPp6NrJyd+h2te6oNLqUzBMQvdv8IV3Tv8soS0Q+KDq96ytfWIaQLiNiCxfXCEEXz2nf/8R2dWQTOUZs8mAyT12K1uWW\
        YGfYRbA8AnkCgYEA7kmAYpBQGxUnwbAIrcDMlCSFclSZPqjzj/D8lMRVDCl7Grrd02p+LKPS7Fwtactf+oJOIcf4gMXM/GVZEURU\
        MuRyO52x7gQbPrbsD1CVc4n3EEbL6s1vZ/sL7cKuZ4Pc3xYyHn3A0mC5fDdvACs5TWFfmjRfjb8zXQ3HO6Hho78CgYEAuqo+DOR+\
        mzV559PkEpaYMooeBRRQ3EMfcv4rW2z2oD6trNKZX2fk2rAKj6cH/I+8AfkmcdRKmGc/S9dAbmYV4RGryCZzSSmhEBdhC4md2ZD5\
        W6wHR/Yze/ba4TpUtCTrrGIZubySpolZjAXbCY7t8a8NSRc4U8fHtqLM8pbOg4sCgYBG0gWcRbPpOLJmOIF70q964BfhUQ9ythgd\
        kcwgEvIL+VAjM6K2MRJrBg2sPgEpTk6qT4wVMi/DZgZ0hVKhdSNpNMhWu5mkWggW7ZrfOl4QxtJtPf1hPcl8p/p1ocTf8yr0Cs6+\
        jTV/0UuPhZIyBKa1PtmBJUu4/ziu0WeDa6t6VQKBgHq9OIHXuRwrhJYYcO58EWWiBe1HF4hNpp9BW5cJRf3GWQK7k9f1A7l8aeVd\
        alX62R/fCRVuBwLBWRBwYFB3VcmhiffYuJOSCPMAvHIOsjl+J0jNDBiYXfAUOIZCibHOWR0HgGzt/uv8gmIc85MMZY82kKDP4NzO\
        D5ca43JcETzTAoGBAKZkXCVy2RaYLvJI+rVFev6Xvxa3QspygctJ+qb5ecJ4QLw1ENqrur6qKYiQTXyu0kayTy3WyH8XCq7k+nTv\
        LaqrFuiQrc+bgjlEsbxf0T5RwP585ZszsZo5NFsnOj4hImTziPbWKqJEJ6mitYTMyCzZy75sPq2c/qoRnHEQ2+G3\
        ";
    let modulus = "\
        rb_d2KuHO27Fta201UBPSwfJ8HthA6o2Whs_oUdqdAR-YyBABxqzGfSqGwMTzjmx79S9GjMrMU9fICO7qOevWsHyaQT-WZPVfx5h\
        UP_frolwSo00PDb5XTTxqDVRpOdk4MmZ5Vil-2ktb5Lt1hB4uyb0MJEO8ApTAKO5DKR6VkX6EhmpCYamgJV0lUt-Wlt3G_UdRZ-O\
        XZV1oRHNra9rFPjxDTthnzEVOpB7SCnX72zZmw_JbG-tDwIbB1MNCTPEaRXgWaurd1vLtFEoao8j2vROylxwHntK4-iU6DZ_ftHr\
        iTcQUIrhUOVbnrdm9upxz_YT0uTihmAU7ClJCgCltQ\
        ";
    TestKey {
        algorithm: Algorithm::RS256,
        private: EncodingKey::from_rsa_der(&STANDARD.decode(private).unwrap()),
        public: json!({"kty": "RSA", "n": modulus, "e": "AQAB"}),
    }
}

/// A key on P-256, for ES256.
pub(crate) fn ec() -> TestKey {
    let private = "\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgukRutGmem7EX8yWl5nV/iPT8p6+byQlGTDTVIPeaAz+hRANCAARR\
        b6BWbCKF0Jki1rsYpgZ1xv1JnvcOeJp8JcBdM10KxFk2BSogf02U12dxiYuMGktcRUJDhhWbugovQ2+LQtm3\
        ";
    let (x, y) = ("UW-gVmwihdCZIta7GKYGdcb9SZ73DniafCXAXTNdCsQ", "WTYFKiB_TZTXZ3GJi4waS1xFQkOGFZu6Ci9Db4tC2bc");
    TestKey {
        algorithm: Algorithm::ES256,
        private: EncodingKey::from_ec_der(&STANDARD.decode(private).unwrap()),
        public: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}),
    }
}

/// Another key on P-256.
pub(crate) fn other_ec() -> TestKey {
    let private = "\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwc0WnP0YVDm/U6phKZL5sAZkD16Tas5R+6kuup18G+GhRANCAAS+\
        xs41bN+4Tkyl4bKieZMtETPFH2sz+o1cGc0NA3p6gra+p2FRMdMZVjQF+vMyr8LfWj4phUmRwV6BqiwS5t1p\
        ";
    let (x, y) = ("vsbONWzfuE5MpeGyonmTLREzxR9rM_qNXBnNDQN6eoI", "tr6nYVEx0xlWNAX68zKvwt9aPimFSZHBXoGqLBLm3Wk");
    TestKey {
        algorithm: Algorithm::ES256,
        private: EncodingKey::from_ec_der(&STANDARD.decode(private).unwrap()),
        public: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}),
    }
}

/// A key of Ed25519, for EdDSA.
pub(crate) fn ed() -> TestKey {
    let private = "MC4CAQAwBQYDK2VwBCIEIDChCUugFVYmVQmJpWuOEdzJbhRkfJF0JmDoBh2itASy";
    TestKey {
        algorithm: Algorithm::EdDSA,
        private: EncodingKey::from_ed_der(&STANDARD.decode(private).unwrap()),
        public: json!({"kty": "OKP", "crv": "Ed25519", "x": "TY6O_nhszFZTiFAXyXv1ud30EK_lzwTUYyuNeYCtSBU"}),
    }
}

impl TestKey {
    /// The name of the algorithm that it is for.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::RS256 => "RS256",
            Algorithm::ES256 => "ES256",
            _ => "EdDSA",
        }
    }

    /// Its private part.
    pub(crate) fn private(&self) -> &EncodingKey {
        &self.private
    }

    /// Its public part, with an id.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        with(self.public.clone(), &json!({"kid": id, "use": "sig", "alg": self.algorithm()}))
    }

    /// Its public part without any member that may be left out.
    pub(crate) fn bare_jwk(&self) -> Value {
        self.public.clone()
    }

    /// A token that it signs, naming a key.
    pub(crate) fn token(&self, id: &str, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "kid": id}), claims)
    }

    /// A token that it signs with its own algorithm, whatever the header says.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        sign(header, claims, &self.private, self.algorithm)
    }
}

/// A token with any header.
pub(crate) fn sign(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// An object with other members, which replace its own of the same name.
pub(crate) fn with(mut object: Value, members: &Value) -> Value {
    object.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    object
}

/// A key set as an issuer publishes it.
pub(crate) fn key_set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// An issuer's server, which counts how often its keys are fetched.
pub(crate) struct KeyServer {
    /// Where the keys are.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    fetches: AtomicUsize,
    answer: Mutex<Answer>,
}

#[derive(Clone, Default)]
struct Answer {
    text: String,
    is_all: bool,
}

impl KeyServer {
    /// A server of these keys.
    pub(crate) async fn start(keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let server = Self { url, shared: Arc::default() };
        server.publish(keys);
        let shared = server.shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, shared.clone()));
            }
        });
        server
    }

    /// Answers with these keys from now on.
    pub(crate) fn publish(&self, keys: &[Value]) {
        self.reply("200 OK", &key_set(keys));
    }

    /// Answers with this status line and body from now on.
    pub(crate) fn reply(&self, status: &str, body: &str) {
        self.reply_raw(&format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// Answers with this text from now on.
    pub(crate) fn reply_raw(&self, text: &str) {
        *self.shared.answer.lock().unwrap() = Answer { text: text.to_owned(), is_all: true };
    }

    /// Begins an answer with this text from now on, and never ends it.
    pub(crate) fn stall_after(&self, text: &str) {
        *self.shared.answer.lock().unwrap() = Answer { text: text.to_owned(), is_all: false };
    }

    /// How often the keys were asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    shared.fetches.fetch_add(1, Ordering::SeqCst);
    let Answer { text, is_all } = shared.answer.lock().unwrap().clone();
    // Who hangs up early has seen enough.
    let _ = stream.write_all(text.as_bytes()).await;
    if !is_all {
        std::future::pending::<()>().await;
    }
}

/// What this thread logs, from `info` on, as long as the guard lives.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins to collect.
    pub(crate) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
