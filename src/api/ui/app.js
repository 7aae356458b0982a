// What pages do better with a script: they refresh by themselves, keep times relative, and copy. Without it everything works.
"use strict";

// Parts that are marked are fetched again with the page they stand in, while somebody looks.
const every = Number(document.querySelector("[data-every]")?.dataset.every ?? 0) * 1000;

const busy = (part) => {
  const chosen = document.getSelection();
  const typing = part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea, summary");
  return typing || (chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode));
};

const refresh = async () => {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (answer.redirected && new URL(answer.url).pathname === "/ui/sign-in") {
    location.assign(answer.url);
    return;
  }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || busy(part) || next.innerHTML === part.innerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
    part.replaceChildren(...next.childNodes);
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    if (focused) document.getElementById(focused)?.focus();
    ready(part);
  }
};

const span = (seconds) => {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
};

const tell = () => {
  for (const time of document.querySelectorAll("time")) {
    const away = Math.trunc((Date.parse(time.dateTime) - Date.now()) / 1000);
    const words = away === 0 ? "now" : away > 0 ? `in ${span(away)}` : `${span(-away)} ago`;
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
if (every) {
  const again = () => setTimeout(() => refresh().catch(() => {}).finally(again), every);
  again();
}
