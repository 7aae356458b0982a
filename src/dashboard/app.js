// What pages do better with a script: they refresh by themselves, keep times relative, and copy. Without it everything works.
"use strict";

const root = document.documentElement;
// How far the server's clock is ahead of this one, in milliseconds.
let ahead = 0;
const heed = (now) => (ahead = now ? Date.parse(now) - Date.now() : 0);
heed(root.dataset.now);

// Parts with `data-live` are fetched again with their page, while the page is visible: not a part that holds the focus, a
// selection or a ticked box.
const pause = (page) => Number(page.querySelector("[data-every]")?.dataset.every ?? 0) * 1000;
let every = root.dataset.at ? pause(document) : 0;
let seen = new Date();

const busy = (part) => {
  const chosen = document.getSelection();
  return part.contains(document.activeElement) || part.querySelector("input:checked") || (chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode));
};

const refresh = async () => {
  if (document.hidden) return;
  const answer = await fetch(root.dataset.at, { headers: { accept: "text/html", "ngoma-refresh": "1" } });
  if (answer.redirected && new URL(answer.url).pathname === "/ui/sign-in") {
    location.assign(`${answer.url}&ended=1`);
    return;
  }
  if (!answer.ok) throw new Error(`it answers ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  heed(fresh.documentElement.dataset.now);
  every = pause(fresh);
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || busy(part)) continue;
    tell(next);
    if (next.innerHTML === part.innerHTML) continue;
    const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
    part.replaceChildren(...next.childNodes);
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    ready(part);
  }
  seen = new Date();
  document.getElementById("stale").textContent = "";
};

const stale = (flaw) => {
  const why = flaw.message.startsWith("it answers") ? flaw.message : "the server does not answer";
  const said = `Not refreshed since ${seen.toLocaleTimeString()}: ${why}. This page goes on trying.`;
  const note = document.getElementById("stale");
  if (note.textContent !== said) note.textContent = said;
};

const span = (seconds) => {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
};

// Times of day, in the zone of this browser. The server writes them in UTC.
const clock = (at, now) => {
  const year = at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  const day = at.toDateString() === now.toDateString() ? {} : { day: "numeric", month: "short", ...year };
  return at.toLocaleString("en-GB", { ...day, hour: "2-digit", minute: "2-digit" }).replace(",", "");
};

const tell = (part = document) => {
  const now = new Date(Date.now() + ahead);
  chart(part, now);
  for (const time of part.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    const away = Math.trunc((at - now) / 1000);
    const [words, day] = time.children;
    const said = away === 0 || (away < 0 && "due" in time.dataset) ? "now" : away > 0 ? `in ${span(away)}` : `${span(-away)} ago`;
    if (words.textContent !== said) words.textContent = said;
    if ("local" in time.dataset) continue;
    time.dataset.local = "";
    day.textContent = clock(at, now);
    time.title = `${at.toLocaleString()} (${time.dateTime})`;
  }
};

// Charts: their hours, and the time of each bar.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const hour = (at) => at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
const chart = (part, now) => {
  for (const tick of part.querySelectorAll("svg [data-at]")) {
    const at = new Date(tick.dataset.at);
    tick.textContent = tick.textContent.includes(":") ? hour(at) : at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    delete tick.dataset.at;
  }
  for (const bar of part.querySelectorAll("svg [data-from]")) {
    const { from, to } = bar.dataset;
    const numbers = bar.ariaLabel.split(": ").at(-1);
    bar.ariaLabel = `${clock(new Date(from), now)} to ${clock(new Date(to), now)}: ${numbers}`;
    bar.querySelector("title").textContent = bar.ariaLabel;
    delete bar.dataset.from;
  }
  for (const name of part.querySelectorAll(".zone")) if (name.textContent !== zone) name.textContent = zone;
};

// The times of a form: shown in the zone of this browser, sent in UTC.
const here = (at) => new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
for (const input of document.querySelectorAll("input[type=datetime-local]")) {
  if (input.value) input.value = here(new Date(`${input.value}Z`));
  input.form.addEventListener("formdata", ({ formData }) => input.value && formData.set(input.name, new Date(input.value).toISOString()));
}
// Links to a day lead to the day of this browser's zone.
for (const link of document.querySelectorAll("a[data-day]")) {
  const [url, to] = [new URL(link.href), new Date(Date.now() + ahead)];
  to.setHours(0, 0, 0, 0);
  const from = new Date(to);
  from.setDate(to.getDate() - link.dataset.day);
  url.searchParams.set("from", from.toISOString());
  if (link.dataset.day > 0) url.searchParams.set("to", to.toISOString());
  link.href = url;
}
for (const here of document.querySelectorAll(".here")) here.textContent = "local time";

const ready = (part) => {
  for (const button of part.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy).textContent;
      const said = button.textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select it and copy by hand";
      }
      setTimeout(() => (button.textContent = said), 2000);
    });
  }
  for (const all of part.querySelectorAll("input[data-all]")) {
    const boxes = part.querySelectorAll("input[name=delivery]");
    all.hidden = false;
    all.addEventListener("change", () => boxes.forEach((box) => (box.checked = all.checked)));
  }
  for (const form of part.querySelectorAll("form")) {
    // A second click must not send a form twice.
    form.addEventListener("submit", () => setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true))));
  }
};

// A page that comes back from the browser's memory can send its forms again.
addEventListener("pageshow", () => document.querySelectorAll("form button").forEach((button) => (button.disabled = false)));

ready(document);
tell();
setInterval(tell, 1000);
const again = () => every && setTimeout(() => refresh().catch(stale).finally(again), every);
again();
