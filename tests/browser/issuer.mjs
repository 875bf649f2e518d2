// An OpenID provider for tests: it lets "ann" in at once, and checks the proof of the code (RFC 7636).
//
//   node issuer.mjs      prints "listening on http://127.0.0.1:PORT"; ends when its standard input does
import { createHash, createPrivateKey, createSign, generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";

const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = createPrivateKey(privateKey.export({ type: "pkcs8", format: "pem" }));
const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const codes = new Map();

function token() {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: "roster", sub: "ann", roles: ["admin"], tier: "enterprise_max", iat: now, exp: now + 3600 };
  const signed = `${encode({ alg: "RS256", typ: "JWT", kid: "one" })}.${encode(claims)}`;
  return `${signed}.${createSign("RSA-SHA256").update(signed).sign(key, "base64url")}`;
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, issuer);
  const json = (status, value) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  if (url.pathname === "/.well-known/openid-configuration") {
    return json(200, { issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/jwks` });
  }
  if (url.pathname === "/jwks") return json(200, { keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one", alg: "RS256", use: "sig" }] });
  const query = url.searchParams;
  if (url.pathname === "/authorize") {
    const asked = [query.get("response_type"), query.get("client_id"), query.get("code_challenge_method"), query.get("scope")];
    if (String(asked) !== "code,dashboard,S256,openid roles") return json(400, { asked });
    const back = new URL(query.get("redirect_uri"));
    const code = randomUUID();
    codes.set(code, { challenge: query.get("code_challenge"), back: String(back) });
    for (const [name, value] of [["code", code], ["state", query.get("state")], ["iss", issuer]]) back.searchParams.set(name, value);
    return response.writeHead(302, { location: String(back) }).end();
  }
  if (url.pathname === "/token" && request.method === "POST") {
    let body = "";
    for await (const part of request) body += part;
    const form = new URLSearchParams(body);
    const known = codes.get(form.get("code"));
    codes.delete(form.get("code"));
    const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
    const isGood = known && known.challenge === challenge && known.back === form.get("redirect_uri") && form.get("client_id") === "dashboard";
    return isGood ? json(200, { access_token: token(), token_type: "Bearer" }) : json(400, { error: "invalid_grant", error_description: "the code is not good" });
  }
  json(404, {});
});
let issuer;
server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(`listening on ${issuer}`);
});
process.stdin.resume().on("end", () => process.exit());
