// Nine tasks of a day, each from the overview on, by somebody who has signed in: with a mouse, with a finger on a phone, or by
// keyboard. Every click, tap or press of Enter is counted, and every field that is filled in.

import { join } from "node:path";

import { DESK, PHONE, check, open, operator, person, pictures, signIn, sound } from "./browser.mjs";

// As tests/it/dashboard/nine_tasks.rs passes them.
const { way, batch, signature, quiet, failing, task, suspended, mail, shop } = JSON.parse(process.argv[5]);

const WAYS = {
  mouse: { viewport: DESK, colorScheme: "light" },
  finger: { viewport: PHONE, colorScheme: "dark", hasTouch: true, isMobile: true },
  keys: { viewport: DESK, colorScheme: "dark" },
};

const browser = await open();
try {
  const page = await person(browser, { ...WAYS[way], timezoneId: "Africa/Kampala", reducedMotion: "reduce" });
  await signIn(page, operator);

  const done = [];
  let [presses, fields] = [0, 0];

  const focus = async (target) => {
    for (let tabs = 0; tabs < 200; tabs++) {
      if (await target.evaluate((part) => part === document.activeElement)) return;
      await target.page().keyboard.press("Tab");
    }
    throw new Error(`no key leads to ${target}`);
  };
  // Every press leads to a page.
  const press = async (target) => {
    presses += 1;
    const loaded = target.page().waitForEvent("load");
    if (way === "mouse") await target.click();
    else if (way === "finger") await target.tap();
    else {
      await focus(target);
      await target.page().keyboard.press("Enter");
    }
    await loaded;
  };
  const fill = async (target, text) => {
    fields += 1;
    if (way === "keys") await focus(target);
    // The order in which a time is typed depends on the language of the browser.
    if (way === "keys" && (await target.getAttribute("type")) !== "datetime-local") {
      await page.keyboard.press("Control+A");
      await page.keyboard.type(text);
    } else await target.fill(text);
  };

  const search = async (text) => {
    await fill(page.getByRole("searchbox", { name: "Search" }), text);
    await press(page.locator(".find button"));
  };
  const to = (name) => press(page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name, exact: true }));
  const between = async ({ from, to }) => {
    await fill(page.getByLabel(/^From/), from);
    await fill(page.getByLabel(/^To/), to);
  };
  const perform = async (name, most, work) => {
    [presses, fields] = [0, 0];
    await page.goto("/ui");
    const at = (await work()) ?? page;
    await at.screenshot({ path: join(pictures, `task-${done.length + 1}-${way}.png`), fullPage: true });
    await sound(at, name);
    check(presses <= most, `${name}: ${presses} of ${most} presses`);
    done.push(`| ${name} | ${presses} | ${fields} |`);
  };

  await perform("find a delivery by a value of its payload", 3, async () => {
    await search(batch);
    check((await page.locator("#list tbody tr").count()) === 1, "one delivery has it");
    await press(page.locator("#list th a").first());
    check((await page.locator("section[aria-labelledby=body] pre").first().textContent()).includes(batch), "and its payload shows it");
  });

  await perform("“we got nothing yesterday between 14 and 15”", 3, async () => {
    await to("Deliveries");
    await between(quiet);
    await press(page.getByRole("button", { name: "Filter" }));
    const states = await page.locator("#list tbody td .badge").allTextContents();
    check(states.length === 3 && states.every((state) => state === "delivered"), `what was made in this hour was delivered: ${states}`);
    await press(page.locator("#list th a").first());
    check(await page.getByText("answered 200").first().isVisible(), "and their own receiver answered 200");
  });

  await perform("“what did you send? Our signature does not verify”", 3, async () => {
    await search(batch);
    await press(page.locator("#list th a").first());
    const request = page.locator("section[aria-labelledby=body]");
    check((await request.textContent()).includes(signature), "the exact request has the signature that arrived");
    await fill(page.getByLabel("The signature that the receiver got"), signature);
    await press(page.getByRole("button", { name: "Check it" }));
    check(await page.getByRole("heading", { name: "The signature is right" }).isVisible(), "the check says that it is right");
  });

  await perform("from the mail of an alert to its webhook, signed in", 3, async () => {
    const mailbox = await page.context().newPage();
    await mailbox.setContent(`<a href="${mail}">${mail}</a>`);
    await press(mailbox.getByRole("link"));
    await mailbox.getByRole("heading", { name: suspended }).waitFor();
    check(await mailbox.getByRole("button", { name: "Resume and send all 3" }).isVisible(), "the page says what to do");
    return mailbox;
  });

  await perform("resume a suspended webhook, and send everything", 3, async () => {
    await press(page.getByRole("button", { name: `Resume and send all 3: ${suspended}` }));
    check(await page.getByText(/^Resumed: 1 .* 2 /).isVisible(), "the failed one and the held ones go out");
  });

  await perform("replay what failed in one hour", 3, async () => {
    await to("Deliveries");
    await between(failing);
    await press(page.getByRole("button", { name: "Replay all that match" }));
    check(await page.getByText("3 failed deliveries match").isVisible(), "the page counts them first");
    await press(page.getByRole("button", { name: "Replay 3" }));
    await page.locator("#recovery .badge.good", { hasText: "done" }).waitFor();
    await page.getByText("3 delivered, 0 failed, 0 waiting").waitFor();
  });

  await perform("“is it repaired now?”", 3, async () => {
    await search(task);
    check(await page.getByRole("heading", { name: "Webhooks that got it" }).isVisible(), "they have it");
    check(!(await page.getByText("did not get it").isVisible()), "and nothing says that they have not");
  });
  await page.goto("/ui/deliveries?state=exhausted");
  const replays = await page.locator("#list tbody td:nth-child(2)").allTextContents();
  check(replays.filter((said) => /failed\s*replayed: delivered/.test(said)).length === 4, `the list says it too: ${replays}`);

  await perform("a new cooperative: its account, webhook and token", 6, async () => {
    await to("Accounts");
    await press(page.getByRole("link", { name: "New account with webhook and token" }));
    await fill(page.getByLabel("Id", { exact: true }), "COOP-GULU-3");
    fields += 1;
    const vendor = page.getByLabel("Platform");
    if (way === "keys") {
      await focus(vendor);
      await page.keyboard.type("Asili");
    } else await vendor.selectOption({ label: "AsiliChain" });
    await fill(page.getByLabel("Alerts go to"), "ops@gulu.example");
    await fill(page.getByLabel("URL"), shop);
    await press(page.getByRole("button", { name: "Make all three" }));
    check((await page.locator("#secret").textContent()).startsWith("ngm_"), "its token is shown");
    await press(page.getByRole("link", { name: "I have them" }));
    check(page.url().endsWith("/ui/accounts/COOP-GULU-3"), "and the page of the account follows");
  });

  await perform("a sign-in link for a cooperative", 3, async () => {
    await to("Accounts");
    await press(page.getByRole("link", { name: "COOP-GULU-3", exact: true }));
    await press(page.getByRole("button", { name: "Make a sign-in link" }));
    check((await page.locator("#secret").textContent()).includes("/ui/enter/"), "the link is shown");
  });

  if (page.faults.length) throw new Error(page.faults.join("\n"));
  console.log([`| ${way} | presses | fields |`, "|---|---|---|", ...done].join("\n"));
} finally {
  await browser.close();
}
