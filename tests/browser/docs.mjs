// The docs page, as a programmer uses it: Authorize with a token, then "Try it out" on a route of each vendor. Then the guide.

import { DESK, PHONE, api, base, check, look, open, operator, person, pictures } from "./browser.mjs";
import { join } from "node:path";

const browser = await open();
try {
  const account = async (account_id, profile) => {
    await api(operator, "POST", "/operator/accounts", { account_id, profile });
    const { token } = await api(operator, "POST", "/operator/tokens", { account_id, scopes: ["webhooks", "events"] });
    return token;
  };
  const page = await person(browser);
  let transferred = 0;
  page.on("response", async (answer) => {
    if (new URL(answer.url()).pathname === "/docs") transferred = (await answer.request().sizes()).responseBodySize;
  });
  const answer = await page.goto("/docs");
  check(answer.headers()["content-encoding"] === "gzip" && answer.headers().etag, "the page is sent compressed, with an ETag");
  await page.locator(".swagger-ui .info").waitFor();
  check(transferred > 0 && transferred < 500_000, `${transferred} bytes on the way`);
  const again = await fetch(`${base}/docs`, { headers: { "if-none-match": answer.headers().etag } });
  check(again.status === 304, "and once");

  // The outgoing payloads are shown.
  for (const name of ["task.settled", "An event of the catalogue"]) {
    check((await page.locator(".webhooks, #operations-tag-webhooks, .opblock-summary").allTextContents()).join(" ").includes(name), `the payload of ${name} is shown`);
  }

  const authorize = async (token) => {
    await page.locator(".auth-wrapper .authorize").first().click();
    const dialog = page.locator(".modal-ux");
    await dialog.locator(".btn-done").waitFor();
    const out = dialog.locator("button", { hasText: "Logout" });
    if (await out.count()) await out.first().click();
    await dialog.locator("input").first().fill(token);
    await dialog.locator("button.authorize", { hasText: "Authorize" }).first().click();
    await dialog.locator(".btn-done").click();
  };

  // One route of each vendor, with the token of one of its accounts.
  for (const [vendor, operation, token] of [
    ["AsiliChain", "listEventTypes", await account("COOP-DOCS-1", "asilichain")],
    ["ASG Gateway", "asgListWebhooks", await account("CUST-DOCS-1", "asg")],
  ]) {
    await authorize(token);
    const block = page.locator(`.opblock[id$="-${operation}"]`);
    await block.locator(".opblock-summary").click();
    await block.locator(".try-out__btn").click();
    await block.locator("button.execute").click();
    const status = block.locator(".live-responses-table tbody .response-col_status").first();
    await status.waitFor();
    check((await status.textContent()).trim().startsWith("200"), `${vendor}: "Try it out" answers 200`);
    await page.screenshot({ path: join(pictures, `docs-${operation}.png`) });
  }
  // And one with a body.
  const task = { event: "task.settled", task_id: "tsk_docs", consensus_label: "cat", confidence: 1.0, bsv_txid: "9f", settled_at: "2026-04-08T21:05:00Z" };
  const batch = { event: "batch.exported", cooperative_id: "COOP-DOCS-2", data: { batch_id: "BATCH-1" } };
  for (const [vendor, operation, token, body] of [
    ["AsiliChain", "publishEvent", await account("COOP-DOCS-2", "asilichain"), batch],
    ["ASG Gateway", "asgPublishEvent", await account("CUST-DOCS-2", "asg"), task],
  ]) {
    await authorize(token);
    const block = page.locator(`.opblock[id$="-${operation}"]`);
    await block.locator(".opblock-summary").click();
    await block.locator(".try-out__btn").click();
    await block.locator("textarea.body-param__text").fill(JSON.stringify(body));
    await block.locator("button.execute").click();
    const answer = block.locator(".live-responses-table tbody tr").first();
    await answer.locator(".response-col_status").waitFor();
    const said = await answer.textContent();
    check(said.trim().startsWith("202") && said.includes("evt_"), `${vendor}: "Try it out" publishes`);
  }

  // Filters begin empty, so that "Execute" shows everything.
  const filters = page.locator('.opblock[id$="-listAllDeliveries"]');
  await filters.locator(".opblock-summary").click();
  await filters.locator(".try-out__btn").click();
  const values = await filters.locator(".parameters input").evaluateAll((inputs) => inputs.map((input) => input.value));
  check(values.length >= 5 && values.every((value) => value === ""), `"Try it out" begins with empty filters: ${values}`);

  // On a phone, and in the dark.
  check((await page.title()) === "API docs · Ngoma", "the docs have the product's title");
  await page.setViewportSize(PHONE);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check(wide <= 0, `the docs fit a phone (${wide} pixels too wide)`);
  await page.screenshot({ path: join(pictures, "docs-phone.png") });
  await page.setViewportSize(DESK);
  await page.emulateMedia({ colorScheme: "dark" });
  check((await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)) === "rgb(23, 21, 18)", "and a dark room");
  await page.screenshot({ path: join(pictures, "docs-dark.png") });
  await page.emulateMedia({ colorScheme: "light" });
  await page.locator(".way").getByRole("link", { name: "Dashboard" }).click();
  check(page.url().includes("/ui"), "and lead back to the dashboard");

  // The guide reads well in light, dark and on a phone.
  await page.goto("/guide");
  const chapters = await page.locator("article ol a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  check(chapters.length >= 9, "the guide lists its chapters");
  for (const path of ["/guide", ...chapters]) {
    check((await page.goto(path)).status() === 200, `${path} is there`);
    await look(page, path.slice(1).replace("/", "-"));
  }
  if (page.faults.length) throw new Error(page.faults.join("\n"));
} finally {
  await browser.close();
}
