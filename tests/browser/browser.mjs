// What the stories in a browser share: Debian's Chromium, a receiver, screenshots, and the rules of accessibility.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

const load = createRequire(join(process.env.TEST_NODE_MODULES, "package.json"));
const { chromium } = load("playwright-core");
const axe = load("axe-core");

// As tests/it/dashboard/chromium.rs passes it: where the server is, an operator's token, where pictures go.
export const [base, operator, pictures] = process.argv.slice(2);
mkdirSync(pictures, { recursive: true });

export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1280, height: 900 };

export const open = () =>
  chromium.launch({ executablePath: process.env.TEST_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });

// A person: a browser of their own, whose faults end the story.
export const person = async (browser, options = {}) => {
  const context = await browser.newContext({ viewport: DESK, baseURL: base, ...options });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(`script: ${error}`));
  page.on("console", (line) => {
    // Chromium says so itself of any answer that is no 2xx; the story looks at those.
    if (line.type() === "error" && !line.text().startsWith("Failed to load resource")) page.faults.push(`console: ${line.text()}`);
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== base && url.protocol !== "data:") page.faults.push(`it loads ${url}`);
  });
  page.on("dialog", (dialog) => {
    page.faults.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  return page;
};

export const check = (holds, what) => {
  if (!holds) throw new Error(`not so: ${what}`);
  console.log(`ok ${what}`);
};

// Waits until something holds, by looking again.
export const until = async (what, look) => {
  const end = Date.now() + 20_000;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`it never came: ${what}`);
};

// No rule of accessibility is broken, and nothing is wider than the window.
export const sound = async (page, name) => {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) throw new Error(`${name}: the page is ${wide} pixels wider than its window`);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const said = violations.flatMap((violation) => violation.nodes.map((node) => `${violation.id}: ${node.target} ${node.failureSummary}`));
  if (said.length) throw new Error(`${name}:\n${said.join("\n")}`);
};

// A page in light, dark and on a phone: a picture of each, and all of them sound.
export const look = async (page, name) => {
  for (const [mode, colorScheme, size] of [
    ["light", "light", DESK],
    ["dark", "dark", DESK],
    ["phone", "light", PHONE],
  ]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(size);
    await page.screenshot({ path: join(pictures, `${name}-${mode}.png`), fullPage: true });
    await sound(page, `${name}, ${mode}`);
  }
  await page.setViewportSize(DESK);
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  if (page.faults.length) throw new Error(`${name}: ${page.faults.join("\n")}`);
  console.log(`ok ${name} in light, dark and on a phone`);
};

// A picture for the README: as much as fits on a screen.
export const picture = async (page, name) => {
  await page.setViewportSize({ width: 1200, height: 840 });
  await page.screenshot({ path: join(pictures, `readme-${name}.png`) });
  await page.setViewportSize(DESK);
};

// A receiver that answers as the story says, and remembers what came.
export const receiver = async () => {
  const posts = [];
  const state = { status: 200, posts };
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      posts.push({ headers: request.headers, body });
      response.writeHead(state.status, { "content-type": "text/plain" });
      response.end(state.status < 300 ? "thank you" : "<script>alert('the receiver')</script>");
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  state.url = `http://127.0.0.1:${server.address().port}/hooks`;
  state.close = () => server.close();
  return state;
};

// The API, as a platform uses it.
export const api = async (token, method, path, body) => {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
};

export const signIn = async (page, token) => {
  await page.goto("/ui");
  await page.getByLabel("Your token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(/\/ui(?!\/sign-in)/);
};
