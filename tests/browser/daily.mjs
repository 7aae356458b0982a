// The operator's daily work: a new cooperative in a few clicks, a link for its people, charts that lead on, backups.

import { api, base, check, look, open, operator, person, receiver, signIn, until } from "./browser.mjs";

const browser = await open();
const shop = await receiver();
try {
  const page = await person(browser);
  await signIn(page, operator);

  // A new cooperative: every click after signing in is counted.
  let clicks = 0;
  const click = async (target) => {
    clicks += 1;
    await target.click();
  };
  await click(page.getByRole("link", { name: "Accounts", exact: true }));
  await click(page.getByRole("link", { name: "New account with webhook and token" }));
  await look(page, "new-account");
  await page.getByLabel("Id", { exact: true }).fill("COOP-GULU-3");
  await page.locator("#vendor").selectOption({ label: "AsiliChain" });
  await page.getByLabel("Alerts go to").fill("ops@gulu.example");
  await page.getByLabel("URL").fill(shop.url);
  await click(page.getByRole("button", { name: "Make all three" }));
  const token = (await page.locator("#secret").textContent()).trim();
  check(token.startsWith("ngm_") && (await page.locator("#secret-2").textContent()).startsWith("whsec_"), "both secrets are shown once");
  await look(page, "new-account-made");
  await click(page.getByRole("link", { name: "I have them" }));
  check(clicks <= 6 && page.url().endsWith("/ui/accounts/COOP-GULU-3"), `a new cooperative takes ${clicks} clicks after signing in`);
  await api(token, "POST", "/events", { event: "batch.exported", cooperative_id: "COOP-GULU-3", data: { batch_id: "BATCH-1" } });
  await until("its first event arrives", () => shop.posts.length === 1);

  // A link for its people, opened in a browser of their own.
  await page.getByRole("button", { name: "Make a sign-in link" }).click();
  const link = (await page.locator("#secret").textContent()).trim();
  await look(page, "link-once");
  const other = await person(browser, { javaScriptEnabled: false });
  await other.goto(link);
  check(await other.getByText("COOP-GULU-3").isVisible(), "the page behind a link names the account");
  await other.getByRole("button", { name: "Open the dashboard" }).click();
  await other.waitForURL(`${base}/ui`);
  check(await other.getByText("All is well").isVisible(), "its button opens the dashboard, without a token");
  const late = await person(browser);
  await late.goto(link);
  check(await late.getByRole("alert").isVisible(), "and opens it once");
  await look(late, "link-spent");
  await page.getByRole("link", { name: "I have it" }).click();
  await look(page, "account-of-gulu");
  await page.getByRole("button", { name: /^End the session/ }).click();
  await other.reload();
  check(other.url().includes("/ui/sign-in"), "a session that the operator ends is over");

  // Charts: a bar says what it shows, and leads there.
  await page.goto("/ui");
  const bar = page.locator("section[aria-label='The last day'] svg a").last();
  await bar.waitFor({ timeout: 20_000 });
  check((await bar.locator("title").textContent()).includes("1 delivered"), "a bar says its time and its numbers");
  check((await page.locator("section[aria-label='The last day'] svg text").count()) >= 4, "the axes have numbers and hours");
  await look(page, "overview-well");
  await bar.click();
  await page.waitForURL("**/ui/deliveries?from=**");
  check((await page.locator("#list tbody tr").count()) === 1, "and leads to the deliveries of its time");

  // A backup, and its two files apart.
  await page.goto("/ui/system");
  await page.getByRole("button", { name: "Back up now" }).click();
  const database = page.getByRole("link", { name: /^database of/ }).first();
  await database.waitFor();
  const [copy] = await Promise.all([page.waitForEvent("download"), database.click()]);
  check(copy.suggestedFilename().endsWith(".db"), "a backup is downloaded");
  const [key] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: /^key of/ }).first().click()]);
  check(key.suggestedFilename().endsWith(".db.key"), "and its key apart");
  await look(page, "system-with-backup");

  // The erasure, after a count.
  await page.goto("/ui/accounts/COOP-GULU-3");
  await page.getByRole("link", { name: "Count, then erase…" }).click();
  await look(page, "account-delete");
  await page.getByRole("button", { name: "Erase it for good" }).click();
  check(await page.getByRole("status").textContent().then((text) => text.includes("is erased")), "an account is erased");
  if (page.faults.length + other.faults.length + late.faults.length > 0) throw new Error([...page.faults, ...other.faults, ...late.faults].join("\n"));
} finally {
  await browser.close();
  shop.close();
}
