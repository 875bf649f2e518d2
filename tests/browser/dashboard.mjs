// The dashboard in Debian's Chromium, as admins and ops use it, down to the commits in the repository.
//
//   ROSTER_URL=…/prod ROSTER_ADMIN=… ROSTER_SUPER=… ROSTER_REPOSITORY=… BROWSER=/usr/bin/chromium node --test dashboard.mjs
//
// The tests go on from one another: together they are the story of one afternoon.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const { ROSTER_URL, ROSTER_ADMIN, ROSTER_SUPER, ROSTER_REPOSITORY, BROWSER } = process.env;
const HOME = `${ROSTER_URL}/ui`;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser, page;
const complaints = [];

const git = (...words) => execFileSync("git", ["-C", ROSTER_REPOSITORY, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", ...words], { encoding: "utf8" }).trim();
const branches = () => git("branch", "--list", "roster/*", "--format=%(refname:short)").split("\n").filter(Boolean);
const file = (path) => JSON.parse(git("show", `main:${path}`));

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const opened = await context.newPage();
  opened.setDefaultTimeout(20_000);
  // What a form is refused with is a status of a page, which Chromium tells on the console: that is no mistake of ours.
  opened.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !/status of 4(09|22|01|03|04)/.test(message.text())) complaints.push(message.text());
  });
  opened.on("pageerror", (error) => complaints.push(String(error)));
  return opened;
}

async function signIn(opened, token) {
  await opened.goto(HOME);
  await opened.getByLabel("Token").fill(token);
  await opened.getByRole("button", { name: "Sign in" }).click();
  await opened.getByRole("heading", { name: "Catalogue" }).waitFor();
}

async function isAccessible(opened) {
  await opened.evaluate(AXE);
  const found = await opened.evaluate(async () => (await globalThis.axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`));
  assert.deepEqual(found, [], opened.url());
}

/// Waits for a text, and shows the page where it does not come.
async function see(text) {
  try {
    await page.getByText(text).first().waitFor();
  } catch (error) {
    assert.fail(`${page.url()} does not say "${text}":\n${await page.locator("main").innerText()}\n${error.message}`);
  }
}
/// Opens a page until it says something: a sync that was asked for takes its time.
async function eventually(path, text) {
  for (let n = 0; n < 100; n++) {
    await go(path);
    if (await page.getByText(text).count()) return;
    await page.waitForTimeout(200);
  }
  await see(text);
}

const press = (name) => page.getByRole("button", { name, exact: true }).click();
const follow = (name) => page.getByRole("link", { name, exact: true }).first().click();
const go = (path) => page.goto(HOME + path);

/// Merges what was proposed, and has the branch looked at by the dashboard's own button.
async function merge(branch) {
  git("merge", "--quiet", "--no-ff", "-m", `Merge ${branch}`, branch);
  git("branch", "--quiet", "-D", branch);
  await look();
}

async function look() {
  await go("/operations");
  await follow("Look at the branch now");
  await press("Look now");
  await see("will be looked at");
}

before(async () => {
  browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
  page = await open();
});
after(() => browser?.close());

test("nobody sees a page before signing in, and the way leads back", async () => {
  await page.goto(`${HOME}/model?id=p%2Fone`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await isAccessible(page);
  await page.getByLabel("Token").fill("no.token.atall");
  await press("Sign in");
  await see("no token that is good now");
  await page.getByLabel("Token").fill(ROSTER_ADMIN);
  await press("Sign in");
  await page.getByRole("heading", { name: "One" }).waitFor();
  const cookie = (await page.context().cookies()).find(({ name }) => name === "roster_session");
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Lax", "/prod/ui"]);
});

test("every page is accessible, light, dark and narrow", async () => {
  const paths = ["", "?q=one", "?state=all", "?q=nothing-is-called-that", "/model?id=p%2Fone", "/model?id=p%2Frolling", "/model?id=ours", "/edit", "/edit?id=p%2Frolling",
    "/edit?copy=p%2Fone", "/act?act=archive&id=p%2Fone&id=ours", "/act?act=mark-legacy&id=ours", "/act?act=hold", "/operations", "/audit", "/import", "/nothing"];
  for (const options of [{}, { colorScheme: "dark" }, { viewport: { width: 360, height: 740 } }]) {
    const other = await open(options);
    await signIn(other, ROSTER_ADMIN);
    for (const path of paths) {
      await other.goto(HOME + path);
      await isAccessible(other);
      const [scrolls, fits] = await other.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(scrolls <= fits, `${path} is ${scrolls} wide, and ${fits} are there`);
    }
    await other.context().close();
  }
});

test("search, filters and sorting are in the address", async () => {
  await go("");
  await page.getByLabel("Search").fill("rolling");
  await page.waitForURL(/q=rolling/);
  await see("1 model,");
  await page.reload();
  assert.equal(await page.getByLabel("Search").inputValue(), "rolling");
  await page.getByLabel("Search").fill("");
  await page.getByLabel("Provider").selectOption({ index: 1 });
  await page.waitForURL(/provider=/);
  await go("");
  await follow("Input");
  await page.waitForURL(/sort=input_cost_per_million_tokens/);
  assert.equal(await page.locator("th[aria-sort=ascending]").innerText(), "Input ▲");
});

test("what models are called is text, never a page", async () => {
  for (const path of ["", "/model?id=p%2Fscript", "/edit?id=p%2Fscript", "/act?act=archive&id=p%2Fscript", "/audit"]) {
    await go(path);
    assert.equal(await page.evaluate(() => globalThis.wasRun), undefined, path);
    assert.equal(await page.locator("main script, main img").count(), 0, path);
  }
  await go("/model?id=p%2Fscript");
  await page.getByRole("heading", { name: "<script>globalThis.wasRun = 1</script>" }).waitFor();
});

test("an edit of a model that Git owns becomes a pull request, and is live once merged", async () => {
  await go("/model?id=p%2Fone");
  await follow("Edit");
  await page.getByLabel("Input price (required)").first().fill("many");
  await page.getByLabel("Reason (required)").fill("Cheaper");
  await press("Show what it does");
  await page.locator("#field-meta-inputCostPerMillionTokens-mistakes").waitFor();
  assert.equal(await page.locator("#field-meta-inputCostPerMillionTokens").getAttribute("aria-invalid"), "true");
  await isAccessible(page);
  await page.locator("#field-meta-inputCostPerMillionTokens").fill("990.5");
  await press("Show what it does");
  await see("catalog/models/p/one.json");
  await see('"inputCostPerMillionTokens": 990.5');
  await isAccessible(page);
  assert.deepEqual(branches(), [], "a preview writes nothing");
  await press("Open pull request");
  await page.getByRole("heading", { name: "Proposed" }).waitFor();
  const [branch] = branches();
  assert.match(branch, /^roster\/p-one-/);
  assert.equal(git("log", "-1", "--format=%an: %s", branch), "ann: Cheaper");
  await merge(branch);
  assert.equal(file("catalog/models/p/one.json").meta.inputCostPerMillionTokens, 990.5);
  await eventually("/model?id=p%2Fone", "$0.9905 per million tokens");
});

test("a change by a commit appears without a reload", async () => {
  const other = await open();
  await signIn(other, ROSTER_ADMIN);
  await other.getByLabel("Choose p/rolling").check();
  const model = file("catalog/models/p/one.json");
  model.meta.displayName = "One, renamed by a commit";
  writeFileSync(`${ROSTER_REPOSITORY}/catalog/models/p/one.json`, JSON.stringify(model, null, 2));
  git("commit", "--quiet", "--all", "-m", "Rename");
  await look();
  await other.bringToFront();
  await other.getByRole("link", { name: "One, renamed by a commit" }).waitFor();
  assert.ok(await other.getByLabel("Choose p/rolling").isChecked(), "what was ticked stays so");
  await other.context().close();
});

test("an edit of a model that the API owns is live at once, once", async () => {
  await go("/edit?id=ours");
  await page.locator("#field-meta-description").fill("Ours, described");
  await press("Show what it does");
  await page.getByRole("alert").getByRole("link", { name: "Reason: say why, for who reads the history" }).click();
  assert.equal(await page.evaluate(() => document.activeElement.id), "reason");
  await page.getByLabel("Reason (required)").fill("Say what it is");
  await press("Show what it does");
  await see("/meta/description: Ours, described");
  const sent = await page.evaluate(() => Object.fromEntries(new FormData(document.querySelector("main form"))));
  await press("Apply");
  await page.getByRole("heading", { name: "Applied" }).waitFor();
  const again = await page.request.post(`${HOME}/edit`, { form: { ...sent, step: "submit" } });
  assert.match(await again.text(), /Applied/);
  await go("/model?id=ours");
  await see("Ours, described");
  assert.equal(await page.getByText("Say what it is").count(), 1, "the same form again changes nothing");
});

test("a model is made, duplicated, marked legacy, archived and restored", async () => {
  await go("/edit");
  await page.locator("#field-id").fill("made");
  await page.locator("#field-name").fill("made");
  await page.locator("#field-provider").fill("acme");
  await page.locator("#field-meta-displayName").fill("Made by hand");
  await page.locator("#field-meta-contextLength").fill("1000");
  await page.getByLabel("The API: it is live at once").check();
  await page.getByLabel("Reason (required)").fill("A new one");
  await press("Show what it does");
  await press("Apply");
  await follow("To the model");
  await page.getByRole("heading", { name: "Made by hand" }).waitFor();
  await follow("Duplicate");
  await page.locator("#field-id").fill("made-twice");
  await page.getByLabel("Reason (required)").fill("Another one");
  await press("Show what it does");
  await press("Apply");
  await follow("To the model");
  for (const [link, button, state] of [["Mark as legacy", "Mark as legacy", "legacy"], ["Unmark legacy", "Unmark legacy", "active"], ["Archive", "Archive", "archived"], ["Restore", "Restore", "active"]]) {
    await go("/model?id=made-twice");
    await follow(link);
    await page.getByLabel("Reason (required)").fill(`To see ${state}`);
    await press(button);
    await follow("To the model");
    await page.locator("h1 + .state", { hasText: state }).waitFor();
  }
});

test("several models at once: what Git owns becomes pull requests", async () => {
  await go("");
  await page.getByLabel("Choose made", { exact: true }).check();
  await page.getByLabel("Choose p/two").check();
  await press("Mark as legacy");
  await page.getByLabel("Reason (required)").fill("On their way out");
  await page.getByRole("button", { name: /what the API owns, and open pull requests/ }).click();
  await see("model made is marked as legacy");
  const [branch] = branches();
  assert.match(branch, /^roster\/p-two-/);
  await merge(branch);
  assert.equal(file("catalog/models/p/two.json").isLegacy, true);
});

test("a new model of Git becomes a file", async () => {
  await go("/edit?copy=p%2Fone");
  await page.locator("#field-id").fill("p/new");
  await page.getByLabel("Reason (required)").fill("A new model");
  await press("Show what it does");
  await see("catalog/models/p/new.json");
  await press("Open pull request");
  await page.getByRole("heading", { name: "Proposed" }).waitFor();
  await merge(branches()[0]);
  await eventually("/model?id=p%2Fnew", "catalog/models/p/new.json");
});

test("a held plan is approved by a super admin, by its hash", async () => {
  const model = file("catalog/models/p/one.json");
  model.meta.outputCostPerMillionTokens = 10_000_000;
  writeFileSync(`${ROSTER_REPOSITORY}/catalog/models/p/one.json`, JSON.stringify(model, null, 2));
  git("commit", "--quiet", "--all", "-m", "A thousand times the price");
  await look();
  await eventually("/operations", "Held: waits for a decision");
  await see("A super_admin can approve it.");
  const csrf = await page.locator("input[name=csrf]").first().inputValue();
  const planHash = await page.locator(".run code").last().innerText();
  const forged = await page.request.post(`${HOME}/act`, { form: { csrf, act: "approve", planHash, reason: "I am no boss" } });
  assert.match(await forged.text(), /Forbidden: this takes a token with the role super_admin/);
  await isAccessible(page);
  const boss = await open();
  await signIn(boss, ROSTER_SUPER);
  await boss.goto(`${HOME}/operations`);
  await boss.getByRole("link", { name: "Approve this plan" }).click();
  await boss.getByLabel("Reason (required)").fill("The provider says so");
  await boss.getByRole("button", { name: "Approve", exact: true }).click();
  await boss.getByText("approved: the plan is applied").waitFor();
  await boss.goto(`${HOME}/operations`);
  await boss.getByRole("heading", { name: "Held: waits for a decision" }).waitFor({ state: "detached" });
  await boss.context().close();
  await eventually("/model?id=p%2Fone", "$10000.00 per million tokens");
});

test("the sync is held and released", async () => {
  await go("/operations");
  await follow("Hold the sync");
  const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 16);
  await page.getByLabel("Until (UTC) (required)").fill(tomorrow);
  await page.getByLabel("Reason (required)").fill("An audit");
  await press("Hold");
  await see("no plan is applied until then");
  await go("/operations");
  await see("something is wrong");
  await follow("Release the sync");
  await press("Release");
  await go("/operations");
  await page.getByRole("link", { name: "Hold the sync" }).waitFor();
});

test("a rollout is paused, resumed, rolled back and another one promoted", async () => {
  await go("/operations");
  for (const [link, state] of [["Pause p/rolling", "paused by hand"], ["Resume p/rolling", "2.0.0 is running"]]) {
    await follow(link);
    await page.getByLabel("Reason (required)").fill("The weekend");
    await press(link.split(" ")[0]);
    await go("/operations");
    await see(state);
  }
  await follow("Roll back p/rolling to 1.0.0");
  await page.getByLabel("Reason (required)").fill("Complaints");
  await press("Roll back");
  await see("back at version 1.0.0");
  await go("/model?id=p%2Frolling");
  await see("is rolled back");
  await page.getByRole("img", { name: /^Share of the traffic: 1.0.0 100%/ }).waitFor();
});

test("versions are added, promoted, deprecated and retired by pull requests", async () => {
  await go("/edit?id=p%2Ftwo");
  for (const [row, version, status] of [[0, "1.0.0", "active"], [1, "2.0.0", "canary"], [2, "0.9.0", "deprecated"]]) {
    await press("Add to Versions");
    await page.locator(`#field-versions-${row}-version`).fill(version);
    await page.locator(`#field-versions-${row}-status`).selectOption(status);
  }
  await page.getByLabel("Reason (required)").fill("It has versions");
  await press("Show what it does");
  await press("Open pull request");
  await page.getByRole("heading", { name: "Proposed" }).waitFor();
  await merge(branches()[0]);
  await eventually("/model?id=p%2Ftwo", "Promote 2.0.0");
  for (const link of ["Retire 0.9.0", "Deprecate 2.0.0"]) {
    await go("/model?id=p%2Ftwo");
    await follow(link);
    if (link.startsWith("Deprecate")) {
      await page.getByLabel("Replacement version").fill("1.0.0");
      await press("Show what it does");
      await see('"replacementVersion": "1.0.0"');
    }
    await page.getByLabel("Reason (required)").fill(link);
    await press("Open pull request");
    await see("is merged");
    const [branch] = branches();
    assert.equal(git("log", "-1", "--format=%s", branch), link);
    git("branch", "--quiet", "-D", branch);
  }
  await go("/model?id=p%2Ftwo");
  await follow("Promote 2.0.0");
  await see("activate 2.0.0");
  await isAccessible(page);
  await page.getByLabel("Reason (required)").fill("It is good");
  await press("Open pull request");
  await see("is merged");
  git("branch", "--quiet", "-D", branches()[0]);
});

test("an override is shown, and ended", async () => {
  const until = new Date(Date.now() + 3_600_000).toISOString();
  const override = await fetch(`${ROSTER_URL}/admin/models/p%2Fnew/meta?mode=override`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${ROSTER_SUPER}`, "content-type": "application/json" },
    body: JSON.stringify({ description: "For an hour", reason: "An incident", until }),
  });
  assert.equal(override.status, 200, await override.text());
  await eventually("/operations", "p/new: overridden");
  await go("/model?id=p%2Fnew");
  await follow("End the override");
  await page.getByLabel("Reason (required)").fill("It is over");
  await press("End it");
  await go("/model?id=p%2Fnew");
  assert.equal(await page.getByText("End the override").count(), 0);
});

test("the audit is filtered, and a file", async () => {
  await go("/audit");
  await page.getByLabel("Model").fill("ours");
  await press("Filter");
  await page.waitForURL(/model=ours/);
  await see("Say what it is");
  assert.equal(await page.getByText("Cheaper").count(), 0);
  const [download] = await Promise.all([page.waitForEvent("download"), follow("As CSV")]);
  assert.equal(download.suggestedFilename(), "audit.csv");
  const text = readFileSync(await download.path(), "utf8");
  assert.ok(text.includes("Say what it is") && !text.includes("Cheaper"), text);
});

test("an import is tried first, and then made", async () => {
  await go("/import");
  const catalogue = { "acme-imported": { litellm_provider: "acme", mode: "chat", max_input_tokens: 1000, max_output_tokens: 100, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002 } };
  await page.getByLabel("Whose catalogue").selectOption("litellm");
  await page.getByLabel("File").setInputFiles({ name: "models.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(catalogue)) });
  await page.waitForFunction(() => document.getElementById("text").value !== "");
  await press("Show what it does");
  await see("Nothing was written. It would be: 1 created");
  await isAccessible(page);
  await page.getByLabel("Reason").fill("From LiteLLM");
  await press("Import");
  await see("1 created, 0 updated");
  await go("?q=acme-imported");
  await see("1 model,");
});

test("what is chosen is exported", async () => {
  await go("");
  await page.getByLabel("Choose p/one").check();
  const [download] = await Promise.all([page.waitForEvent("download"), press("Export")]);
  const models = JSON.parse(readFileSync(await download.path(), "utf8"));
  assert.deepEqual((models.models ?? models).map(({ id }) => id), ["p/one"]);
});

test("the keyboard is enough, from the sign-in to the pull request", async () => {
  const old = page;
  page = await open();
  const named = (name) => {
    const { activeElement: at } = document;
    const label = at.getAttribute("aria-label") ?? (at.labels?.[0] ?? at).textContent;
    return label.trim().replace(/\s+/g, " ") === name;
  };
  const reach = async (name) => {
    for (let n = 0; n < 120; n++) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(named, name)) return;
    }
    assert.fail(`Tab does not reach ${name}`);
  };
  await go("");
  await reach("Token");
  await page.keyboard.insertText(ROSTER_ADMIN);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Catalogue" }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await reach("Choose p/one");
  await page.keyboard.press("Space");
  await reach("Archive");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Archive" }).waitFor();
  await reach("Reason (required)");
  await page.keyboard.type("By keyboard");
  await reach("Open pull request");
  await page.keyboard.press("Enter");
  await see("is archived once");
  git("branch", "--quiet", "-D", branches()[0]);
  await go("/edit?id=p%2Fnew");
  await reach("Description");
  await page.keyboard.type("Written by keyboard");
  await reach("Reason (required)");
  await page.keyboard.type("Describe it");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "What this does" }).waitFor();
  await reach("Open pull request");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Proposed" }).waitFor();
  git("branch", "--quiet", "-D", branches()[0]);
  await page.context().close();
  page = old;
});

test("another site's form changes nothing, and signing out ends the session", async () => {
  const { cookies } = await page.context().storageState();
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
  const send = (headers, body) => fetch(`${HOME}/act`, { method: "POST", headers: { cookie, "content-type": "application/x-www-form-urlencoded", ...headers }, body });
  const form = "act=archive&id=ours&reason=evil";
  assert.equal((await send({}, form)).status, 403, "without the session's token");
  assert.equal((await send({ origin: "https://evil.example" }, form)).status, 403);
  assert.equal((await send({ "sec-fetch-site": "cross-site" }, form)).status, 403);
  await go("/model?id=ours");
  await page.locator("h1 + .state", { hasText: "active" }).waitFor();
  await press("Sign out");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await go("/operations");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

test("nothing complained on any console", () => assert.deepEqual(complaints, []));
