// A day at the dashboard: an account, a token and a webhook are made; deliveries arrive, fail, are held, and go out again.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { PHONE, api, base, check, look, open, operator, person, picture, receiver, signIn, until } from "./browser.mjs";

const browser = await open();
const shop = await receiver();
const other = await receiver();
try {
  const page = await person(browser);

  // Signing in.
  await page.goto("/ui/webhooks");
  check(page.url().includes("/ui/sign-in?next="), "a stranger is asked for a token");
  await look(page, "sign-in");
  await page.getByLabel("Your token").fill("ngm_nonsense");
  await page.getByRole("button", { name: "Sign in" }).click();
  check(await page.getByRole("alert").textContent().then((text) => text.includes("unknown or revoked")), "a wrong token is told what to do");
  await page.getByLabel("Your token").fill(operator);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/ui/webhooks");
  check(true, "signing in leads back to the page that was asked for");
  const [cookie] = (await page.context().cookies()).filter((cookie) => cookie.name === "ngoma_session");
  check(cookie.httpOnly && cookie.sameSite === "Strict" && cookie.path === "/ui", "the cookie is HttpOnly, SameSite=Strict and of /ui alone");
  await look(page, "webhooks-empty");
  await page.goto("/ui");
  await look(page, "overview-empty");

  // An account and a token, which is shown once.
  await page.goto("/ui/accounts");
  await page.getByRole("textbox", { name: "Id", exact: true }).fill("COOP-ELGON-7");
  await page.locator("#vendor").selectOption({ label: "AsiliChain" });
  await page.getByLabel("Alerts go to").fill("ops@elgon.example");
  await page.getByRole("button", { name: "Make the account" }).click();
  check(await page.getByRole("status").textContent().then((text) => text.includes("account is made")), "the account is made");
  check(page.url().includes("/ui/accounts/COOP-ELGON-7"), "and has a page of its own");
  await look(page, "account");
  await page.locator("#new-token summary").click();
  await page.getByRole("textbox", { name: "Label" }).fill("till");
  await page.getByRole("button", { name: "Make the token" }).click();
  const token = (await page.locator("#secret").textContent()).trim();
  check(/^ngm_[0-9A-Za-z]{49}$/.test(token), "the token is shown");
  await look(page, "token-once");
  await page.getByRole("link", { name: "I have it" }).click();
  check(!(await page.content()).includes(token), "and never again");
  const tokens = page.locator("#tokens");
  check(await tokens.evaluate((heading) => heading.getBoundingClientRect().bottom <= innerHeight), "the list of tokens is in sight");

  // A webhook.
  await page.goto("/ui/webhooks/new");
  await look(page, "register-account");
  await page.getByLabel("Account", { exact: true }).fill("COOP-ELGON-7");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByLabel("URL").fill("ftp://nowhere");
  check(await page.getByLabel("All events").isChecked(), "all events are ticked at first");
  check(!(await page.getByLabel("batch.exported").isVisible()), "and one that is wanted anyway is not asked for");
  await page.getByLabel("All events").uncheck();
  await page.getByLabel("batch.exported").check();
  await page.getByRole("button", { name: "Register" }).click();
  check(await page.getByRole("alert").textContent().then((text) => text.includes("https://")), "a URL that cannot be used is refused with a sentence");
  check(await page.getByLabel("batch.exported").isChecked(), "and what was chosen is still chosen");
  await look(page, "register");
  await page.getByLabel("URL").fill(shop.url);
  await page.getByLabel("All events").check();
  await page.getByRole("button", { name: "Register" }).click();
  check((await page.locator("#secret").textContent()).startsWith("whsec_"), "the signing secret is shown once");
  await look(page, "secret-once");
  await page.getByRole("link", { name: "I have it" }).click();
  const webhook = page.url().split("/").pop();
  check(await page.getByText("3 attempts over 400 ms").isVisible(), "the schedule is said in words");

  // An event, which arrives while somebody looks.
  const publish = (data) => api(token, "POST", "/events", { event: "batch.exported", cooperative_id: "COOP-ELGON-7", data });
  const evil = { note: "<script>alert('payload')</script>", "<img src=x onerror=alert(1)>": "\"'&" };
  const { event_id } = await publish({ batch_id: "BATCH-1", weight_kg: 62.5, ...evil });
  await page.locator("#live .badge.good", { hasText: "delivered" }).first().waitFor();
  check(shop.posts.length === 1, "a delivery arrives, and the open page shows it by itself");
  await look(page, "webhook");
  await page.locator("#live th a").first().click();
  check((await page.locator("section[aria-labelledby=body] pre").first().textContent()).includes("<script>alert('payload')</script>"), "a payload full of script shows as text");
  await page.getByText("The exact bytes").click();
  check((await page.locator("#raw").textContent()) === shop.posts[0].body, "the exact bytes are those that arrived");
  await page.getByText("Send it to a test receiver").click();
  check((await page.locator("#curl").textContent()).startsWith("curl -sS http://127.0.0.1:9000/ -H 'content-type: application/json'"), "a curl line replays it");
  const line = (await page.locator("#curl").textContent()).replace("127.0.0.1:9000/", new URL(shop.url).host);
  await promisify(execFile)("sh", ["-c", line]);
  check(shop.posts.pop().body === shop.posts[0].body, "and it does, to the byte, when a shell runs it");
  check((await page.locator("section[aria-labelledby=body] dl").first().textContent()).includes(shop.posts[0].headers["x-asilichain-signature"]), "the exact request has its signatures");
  await look(page, "delivery");
  const delivery = page.url();
  await page.getByLabel("The signature that the receiver got").fill(shop.posts[0].headers["x-asilichain-signature"]);
  await page.getByLabel("The body that it verified").fill(JSON.stringify(JSON.parse(shop.posts[0].body), null, 2));
  await page.getByRole("button", { name: "Check it" }).click();
  check(await page.getByRole("heading", { name: "The signature is right" }).isVisible(), "a right signature is known as such");
  check(await page.getByText("Both say the same, in other characters").isVisible(), "and a body that was printed again");
  await look(page, "signature-right");
  await page.goto(delivery);
  await page.getByLabel("The signature that the receiver got").fill("0".repeat(64));
  await page.getByRole("button", { name: "Check it" }).click();
  check(await page.getByText("they do not match").isVisible(), "a wrong one too");
  await look(page, "signature-wrong");
  await page.goto(delivery);
  await page.getByRole("button", { name: "Replay" }).click();
  await page.locator("#line .badge.good").waitFor();
  check(shop.posts.length === 2 && shop.posts[0].body === shop.posts[1].body, "a replay sends the same bytes again");

  // The event: who got it, and why others did not.
  await api(token, "POST", "/webhooks", { url: other.url, events: ["payout.*"], cooperative_id: "COOP-ELGON-7" });
  await publish({ batch_id: "BATCH-2" });
  await page.goto("/ui/events");
  await look(page, "events");
  await page.locator("tbody th a").first().click();
  await page.getByText("Webhooks that it was not for").click();
  check(await page.getByText("its events (payout.*) do not hold batch.exported").isVisible(), "an event says why a webhook did not get it");
  await look(page, "event");

  // The receiver fails until the webhook is suspended.
  shop.status = 503;
  await page.goto(`/ui/webhooks/${webhook}`);
  for (const batch of ["BATCH-3", "BATCH-4", "BATCH-5"]) await publish({ batch_id: batch });
  await until("it is suspended", async () => (await api(token, "GET", `/webhooks/${webhook}`)).status === "SUSPENDED");
  await page.locator("#panel").waitFor();
  check(true, "the open page shows by itself that it is suspended");
  for (const batch of ["BATCH-6", "BATCH-7"]) await publish({ batch_id: batch });
  await page.reload();
  const panel = page.locator("section", { has: page.locator("#panel") });
  const held = Number((await panel.locator("h2").textContent()).match(/(\d+) (?:deliveries )?are held/)[1]);
  check(held >= 2, "the panel says how many deliveries are held");
  check(await panel.getByText("A delivery failed 3 times.").isVisible(), "and what happened");
  check(await panel.getByText("answered 503").isVisible(), "and the receiver's last answer");
  check(await panel.getByText("<script>alert('the receiver')</script>").isVisible(), "whose body shows as text");
  await panel.getByRole("link", { name: "batch.exported" }).click();
  check(page.url().includes("/ui/deliveries/dlv_"), "and leads to the delivery that did it");
  await look(page, "delivery-failed");
  await page.goBack();
  await look(page, "webhook-suspended");
  await picture(page, "suspended");
  await page.goto("/ui");
  await page.getByRole("link", { name: shop.url }).first().waitFor();
  check(true, "the overview names the webhook that needs somebody");
  // Counts come within ten seconds or so.
  await page.locator("#all svg rect.no").first().waitFor({ timeout: 20_000 });
  await look(page, "overview");
  await picture(page, "overview");
  await page.goto("/ui/webhooks?state=suspended");
  await look(page, "webhooks");

  // Test, mend, test, resume.
  await page.goto(`/ui/webhooks/${webhook}`);
  await page.getByRole("button", { name: "Test it now" }).click();
  check(await page.getByRole("heading", { name: "The test did not arrive" }).isVisible(), "a test of a broken receiver says so");
  check(await page.getByText("<script>alert('the receiver')</script>").isVisible(), "and its answer shows as text");
  await look(page, "tested-badly");
  shop.status = 200;
  const before = shop.posts.length;
  await page.getByRole("button", { name: "Test again" }).click();
  check(await page.getByRole("heading", { name: "The test arrived" }).isVisible(), "once it is mended the test arrives");
  check(shop.posts.at(-1).headers["ngoma-test"] === "true", "marked as a test");
  await look(page, "tested-well");
  await page.getByRole("button", { name: /^Resume and send all \d+$/ }).click();
  check(await page.getByText(/^Resumed: .* sent again, then \d+ held ones go out\.$/).isVisible(), "the page says how many of each are sent");
  await until("the failed and the held go out", () => shop.posts.length > before + 1 + held);
  check(true, "resuming sends what failed and what was held");

  // One more fails, and is left so.
  shop.status = 503;
  await publish({ batch_id: "BATCH-8" });
  await until("it is suspended again", async () => (await api(token, "GET", `/webhooks/${webhook}`)).status === "SUSPENDED");
  shop.status = 200;
  await page.goto(`/ui/webhooks/${webhook}`);
  await page.getByText("Leave the failed…").click();
  await look(page, "webhook-leave");
  await page.getByRole("button", { name: "Resume without the failed" }).click();
  check(await page.getByText(/^Resumed: /).isVisible(), "failed deliveries can be left as they are");

  // All that failed, at once.
  await page.goto("/ui/deliveries?state=exhausted");
  await look(page, "deliveries");
  await page.getByRole("button", { name: "Replay all that match" }).click();
  await look(page, "recover-count");
  const arrived = shop.posts.length;
  await page.getByRole("button", { name: /^Replay \d+$/ }).click();
  await page.locator("#recovery .badge.good", { hasText: "done" }).waitFor();
  await until("the replays arrive", () => shop.posts.length > arrived);
  await look(page, "recovery");
  await page.goto("/ui/recoveries");
  await look(page, "recoveries");
  await page.goto("/ui/recover?state=exhausted");
  check(await page.getByText("Nothing to replay").isVisible(), "replayed deliveries are not replayed again");

  // Some of them, and a file of them all.
  await page.goto("/ui/deliveries");
  const tick = page.getByRole("checkbox", { name: "Select" }).first();
  await tick.check();
  await tick.blur();
  await publish({ batch_id: "BATCH-9" });
  await page.waitForResponse((answer) => "ngoma-refresh" in answer.request().headers());
  check(await tick.isChecked(), "a refresh leaves what is ticked");
  const chosen = shop.posts.length;
  await page.getByRole("button", { name: "Replay the selected" }).click();
  check(await page.getByText("Replayed: 1 delivery is sent again.").isVisible(), "a ticked delivery is replayed");
  await until("it arrives", () => shop.posts.length > chosen);
  await look(page, "deliveries-replayed");
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Export as CSV" }).click()]);
  check(file.suggestedFilename() === "deliveries.csv", "the list can be exported");

  for (const [address, name] of [["/ui/alerts", "alerts"], ["/ui/audit", "audit"], ["/ui/system", "system"], ["/ui/nothing", "not-here"]]) {
    await page.goto(address);
    await look(page, name);
  }

  // Another account sees nothing of it.
  const foreign = await api(operator, "POST", "/operator/accounts", { account_id: "COOP-KASESE-2", profile: "asilichain" });
  const { token: foreignToken } = await api(operator, "POST", "/operator/tokens", { account_id: foreign.account_id, scopes: ["webhooks", "events"] });
  const neighbour = await person(browser);
  await signIn(neighbour, foreignToken);
  for (const address of ["/ui", "/ui/webhooks", "/ui/deliveries", "/ui/events", "/ui/recoveries"]) {
    await neighbour.goto(address);
    check(!(await neighbour.content()).includes("ELGON") && !(await neighbour.content()).includes(shop.url), `a foreign account sees nothing at ${address}`);
  }
  for (const address of [`/ui/webhooks/${webhook}`, `/ui/events/${event_id}`]) {
    check((await neighbour.goto(address)).status() === 404, `and nothing is there for it at ${address.split("/")[2]}`);
  }
  check((await neighbour.goto("/ui/accounts")).status() === 403, "the operator's pages are closed to it");
  check(!(await neighbour.locator("nav").textContent()).includes("Audit"), "and not offered");
  await neighbour.goto("/ui/webhooks");
  await look(neighbour, "webhooks-of-an-account");

  // The keyboard alone.
  await neighbour.goto("/ui/webhooks");
  await neighbour.keyboard.press("Tab");
  check(await neighbour.evaluate(() => document.activeElement.className === "skip"), "the first key leads to the content");
  await neighbour.keyboard.press("Enter");
  await neighbour.keyboard.press("Tab");
  check(await neighbour.evaluate(() => document.querySelector("main").contains(document.activeElement)), "and past the menu");

  // The whole way by keyboard: signing in, registering, testing.
  const hand = await person(browser);
  const tabTo = async (name) => {
    const named = (name) => {
      const { labels, innerText, ariaLabel } = document.activeElement;
      return (ariaLabel ?? labels?.[0]?.innerText ?? innerText).trim().startsWith(name);
    };
    for (let presses = 0; presses < 80; presses++) {
      await hand.keyboard.press("Tab");
      if (await hand.evaluate(named, name)) return;
    }
    throw new Error(`no key leads to ${name}`);
  };
  await hand.goto("/ui/sign-in");
  await until("the field of the token has the focus", () => hand.evaluate(() => document.activeElement.id === "token"));
  await hand.keyboard.type(foreignToken);
  await hand.keyboard.press("Enter");
  await hand.waitForURL("**/ui");
  for (const [name, then] of [["Webhooks", "Enter"], ["Register a webhook", "Enter"], ["URL", other.url], ["Register", "Enter"], ["I have it", "Enter"], ["Test it now", "Enter"]]) {
    await tabTo(name);
    if (name === "URL") await hand.keyboard.type(then);
    else if (then === "Enter") await Promise.all([hand.waitForNavigation(), hand.keyboard.press(then)]);
    else await hand.keyboard.press(then);
  }
  check(await hand.getByRole("heading", { name: "The test arrived" }).isVisible(), "a webhook is registered and tested by keyboard alone");
  await hand.goto("/ui/deliveries");
  for (const [name, then] of [["Select", "Space"], ["Replay the selected", "Enter"]]) {
    await tabTo(name);
    await hand.keyboard.press(then);
  }
  await hand.getByText("Replayed: 1 delivery is sent again.").waitFor();
  check(true, "a delivery is ticked and replayed by keyboard alone");
  await hand.goto(`/ui/deliveries/${(await hand.locator("#list th a").first().getAttribute("href")).split("/").pop()}`);
  await tabTo("The signature that the receiver got");
  await hand.keyboard.type("0".repeat(64));
  await tabTo("Check it");
  await hand.keyboard.press("Enter");
  await hand.getByRole("heading", { name: "The signature is wrong" }).waitFor();
  check(true, "and a signature is checked");

  // An open page keeps the focus, tells time by the server's clock, and says when it cannot be refreshed.
  const early = await person(browser);
  await early.addInitScript(() => {
    const now = Date.now.bind(Date);
    Date.now = () => now() - 3_600_000;
  });
  await signIn(early, operator);
  await early.goto("/ui/deliveries");
  const first = early.locator("#list th a").first();
  await first.focus();
  const refreshed = () => early.waitForResponse((answer) => "ngoma-refresh" in answer.request().headers());
  await publish({ batch_id: "BATCH-8" });
  await refreshed();
  await refreshed();
  check(await first.evaluate((link) => link === document.activeElement), "a refresh leaves the focus where it is");
  const told = await early.locator("#list tbody time span").allTextContents();
  check(told.every((text) => /^(now|\d+ (s|min) ago)$/.test(text)), `a clock that is an hour slow changes nothing: ${told[0]}`);
  await early.route("**/ui/deliveries", (route) => route.abort());
  await early.locator("#stale", { hasText: "Not refreshed since" }).waitFor();
  await early.unroute("**/ui/deliveries");
  await early.locator("#stale", { hasText: "Not refreshed since" }).waitFor({ state: "hidden" });
  check(true, "a page that cannot be refreshed says so, until it can");

  // A form that is sent anew does nothing again.
  await early.goto(`/ui/webhooks/${webhook}`);
  await early.getByText("Rotate the secret…").click();
  await early.getByRole("button", { name: "Make a new secret" }).click();
  const secret = await early.locator("#secret").textContent();
  await early.reload();
  check((await early.locator("#secret").textContent()) === secret, "the page of a new secret can be loaded again, and rotates nothing");

  // Somebody in Kampala looks for a batch, from the head of any page.
  const near = await person(browser, { timezoneId: "Africa/Kampala" });
  await signIn(near, operator);
  const batch = "BATCH-2026-004821";
  await publish({ batch_id: batch });
  await near.goto("/ui/alerts");
  await near.getByRole("searchbox", { name: "Search" }).fill(`batch_id ${batch}`);
  await near.locator(".find button").click();
  await near.waitForURL("**/ui/deliveries?q=**");
  check((await near.locator("#list tbody tr").count()) === 1, "a batch is found from the head of any page with one click");
  await look(near, "found");
  await near.locator("#list th a").first().click();
  check((await near.locator("section[aria-labelledby=body] pre").first().textContent()).includes(batch), "and its payload is one click further");

  // Times are those of Kampala, three hours ahead of UTC, and so are the filters.
  const made = new Date(await near.locator("dd time").first().getAttribute("datetime"));
  const clock = new Date(made.getTime() + 3 * 3_600_000).toISOString().slice(11, 16);
  check((await near.locator("dd time small").first().textContent()).endsWith(clock), "a time of day is that of the browser's zone");
  check((await near.locator("footer .zone").textContent()) === "Africa/Kampala", "and the page names it");
  await near.goto("/ui/deliveries");
  await near.getByRole("link", { name: "Yesterday" }).click();
  const from = await near.locator("#from").inputValue();
  const day = new Date(Date.now() + 3 * 3_600_000 - 86_400_000).toISOString().slice(0, 10);
  check(from === `${day}T00:00`, `yesterday begins at midnight in Kampala: ${from}`);
  await near.locator("#from").fill(`${day}T14:00`);
  await near.locator("#to").fill(`${day}T15:00`);
  await near.getByRole("button", { name: "Filter" }).click();
  await near.waitForURL(`**from=${day}T11%3A00%3A00.000Z**`);
  check((await near.locator("#to").inputValue()) === `${day}T15:00`, "an hour of yesterday takes two clicks, and is shown as it was given");
  for (const [width, lines] of [[1280, 1], [390, 6]]) {
    await near.setViewportSize({ width, height: 900 });
    const shape = await near.evaluate(() => {
      const fields = [...document.querySelectorAll(".filters > div")].map((field) => field.getBoundingClientRect());
      const cut = [...document.querySelectorAll(".filters input, .filters button, .find input, .find button, .head a")].filter((part) => part.scrollWidth > part.clientWidth + 1);
      return { lines: new Set(fields.map((field) => Math.round(field.bottom))).size, cut: cut.map((part) => part.outerHTML) };
    });
    check(shape.lines <= lines && shape.cut.length === 0, `the filters stand on ${shape.lines} lines at ${width} pixels, and nothing is cut off ${shape.cut}`);
  }
  if (near.faults.length) throw new Error(near.faults.join("\n"));

  // Revoking a token signs its dashboards out.
  const till = await person(browser);
  await signIn(till, token);
  await till.goto("/ui/deliveries");
  await page.goto("/ui/accounts/COOP-ELGON-7");
  await page.getByText("Revoke…").first().click();
  await page.getByRole("button", { name: "Revoke it for good" }).first().click();
  await till.waitForURL("**/ui/sign-in?**");
  check(await till.getByText("You were signed out").isVisible(), "and it says so");
  check(true, "revoking a token signs an open page out by itself");

  // An alert on a phone says which webhook, and leads there.
  const phone = await person(browser, { viewport: PHONE, javaScriptEnabled: false });
  await signIn(phone, operator);
  await phone.goto("/ui/alerts");
  await phone.getByRole("link", { name: shop.url }).first().click();
  check(phone.url().includes(`/ui/webhooks/${webhook}`), "an alert on a phone names its webhook, and leads there");

  // Without a script everything still works.
  const plain = await person(browser, { javaScriptEnabled: false });
  await signIn(plain, operator);
  await plain.goto(`/ui/webhooks/${webhook}`);
  await plain.getByRole("button", { name: "Pause" }).click();
  check(await plain.getByText("Somebody paused it.").isVisible(), "without a script a form does the same");
  await plain.getByRole("button", { name: /^Resume/ }).click();
  await plain.goto("/ui/deliveries");
  await plain.getByRole("checkbox", { name: "Select" }).first().check();
  await plain.getByRole("button", { name: "Replay the selected" }).click();
  check(await plain.getByText("Replayed: 1 delivery is sent again.").isVisible(), "so do boxes that are ticked");
  await plain.locator("#list th a").first().click();
  await plain.getByLabel("The signature that the receiver got").fill("0".repeat(64));
  await plain.getByRole("button", { name: "Check it" }).click();
  check(await plain.getByText("they do not match").isVisible(), "and the check of a signature");
  await plain.getByRole("button", { name: "Sign out" }).click();
  await plain.goto("/ui");
  check(plain.url().includes("/ui/sign-in"), "signing out ends the session");

  // A link in a mail: the browser sends the cookie once a page of ours asks.
  const mail = await page.context().newPage();
  await mail.setContent(`<a href="${base}/ui/webhooks/${webhook}">look</a>`);
  await mail.getByRole("link").click();
  await mail.getByRole("heading", { name: shop.url }).waitFor();
  check(true, "a link from elsewhere opens the page for whoever is signed in");
  if (page.faults.length + neighbour.faults.length + till.faults.length + hand.faults.length > 0) throw new Error([...page.faults, ...neighbour.faults, ...till.faults, ...hand.faults, ...early.faults].join("\n"));
} finally {
  await browser.close();
  shop.close();
  other.close();
}
