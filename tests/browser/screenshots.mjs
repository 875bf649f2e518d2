// The README's screenshots, of a `roster dev` that runs: ROSTER_URL, ROSTER_TOKEN, BROWSER, and the folder for them.
import { chromium } from "playwright-core";

const { ROSTER_URL, ROSTER_TOKEN, BROWSER } = process.env;
const folder = process.argv[2];
const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
const open = (path) => page.goto(`${ROSTER_URL}/ui${path}`);
const shoot = (name) => page.screenshot({ path: `${folder}/${name}.png` });

await open("");
await page.getByLabel("Token").fill(ROSTER_TOKEN);
await page.getByRole("button", { name: "Sign in" }).click();
await page.getByRole("heading", { name: "Catalogue" }).waitFor();
await open("?sort=sunset_date");
await shoot("catalogue");
await open("/model?id=claude-sonnet");
await page.locator("#versions").evaluate((heading) => heading.scrollIntoView());
await shoot("model");
await open("/edit?id=claude-haiku-4-5");
await page.locator("#field-meta-inputCostPerMillionTokens").fill("800");
await page.getByLabel("Reason (required)").fill("The provider lowered the price");
await page.getByRole("button", { name: "Show what it does" }).last().click();
await page.getByRole("heading", { name: "What this does" }).waitFor();
await shoot("preview");
await page.emulateMedia({ colorScheme: "dark" });
await open("/operations");
await shoot("operations");
await browser.close();
