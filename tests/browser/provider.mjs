// Signing in with an OpenID provider, in a browser: ROSTER_URL, BROWSER.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const HOME = `${process.env.ROSTER_URL}/ui`;
let browser, page;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.BROWSER, args: ["--no-sandbox"] });
  page = await browser.newPage();
});
after(() => browser?.close());

test("whoever the issuer knows comes back to the page that they asked for", async () => {
  await page.goto(`${HOME}/audit?model=p%2Fone`);
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Audit" }).waitFor();
  assert.match(page.url(), /audit\?model=p%2Fone$/);
  await page.getByText("ann", { exact: true }).waitFor();
});

test("a code of another attempt, or one that was used, signs nobody in", async () => {
  const other = await (await browser.newContext()).newPage();
  await other.goto(`${HOME}/sign-in/return?code=stolen&state=guessed`);
  await other.getByText("this sign-in was not begun here").waitFor();
  const begun = await fetch(`${HOME}/sign-in/provider`, { redirect: "manual" });
  const state = new URL(begun.headers.get("location")).searchParams.get("state");
  const cookie = begun.headers.get("set-cookie").split(";")[0];
  const returned = await fetch(`${HOME}/sign-in/return?code=another&state=${state}`, { headers: { cookie }, redirect: "manual" });
  assert.equal(returned.status, 403);
  assert.match(await returned.text(), /the issuer says: the code is not good/);
  assert.equal(returned.headers.get("set-cookie"), null);
});

test("no token is pasted where there is an issuer", async () => {
  const answer = await fetch(`${HOME}/sign-in`, { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" }, body: "token=x" });
  assert.equal(answer.status, 404);
});
