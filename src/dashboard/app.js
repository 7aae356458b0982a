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
    if (!next || busy(part) || next.innerHTML === part.innerHTML) continue;
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

const tell = () => {
  for (const time of document.querySelectorAll("time")) {
    const away = Math.trunc((Date.parse(time.dateTime) - Date.now() - ahead) / 1000);
    const words = away === 0 || (away < 0 && "due" in time.dataset) ? "now" : away > 0 ? `in ${span(away)}` : `${span(-away)} ago`;
    if (time.textContent !== words) time.textContent = words;
  }
};

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
  for (const form of part.querySelectorAll("form")) {
    // A second click must not send a form twice.
    form.addEventListener("submit", () => setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true))));
  }
};

// A page that comes back from the browser's memory can send its forms again.
addEventListener("pageshow", () => document.querySelectorAll("form button").forEach((button) => (button.disabled = false)));

ready(document);
setInterval(tell, 1000);
const again = () => every && setTimeout(() => refresh().catch(stale).finally(again), every);
again();
