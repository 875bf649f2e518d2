// What the pages need beyond htmx: to look for news, and to read a file into a form. Without it they work all the same.
"use strict";

const LOOK_EVERY_MS = 3000;

// A page that nobody sees, or in which somebody is writing, is left alone.
function isIdle() {
  const live = document.getElementById("live");
  return live !== null && document.visibilityState === "visible" && !live.contains(document.activeElement?.closest("textarea, select"));
}

setInterval(() => {
  if (isIdle()) htmx.trigger(document.body, "roster:look");
}, LOOK_EVERY_MS);

// What somebody ticked, opened or is at stays so when the page changes under them.
let kept = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "live") return;
  const live = event.detail.target;
  kept = {
    ticked: new Set([...live.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value)),
    opened: new Set([...live.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent)),
    focused: live.contains(document.activeElement) ? path(document.activeElement) : null,
    isNews: event.detail.requestConfig.triggeringEvent?.type === "roster:look",
  };
});

document.addEventListener("htmx:afterSettle", () => {
  if (kept === null) return;
  const { ticked, opened, focused, isNews } = kept;
  kept = null;
  const live = document.getElementById("live");
  for (const box of live.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
  for (const summary of live.querySelectorAll("details > summary")) {
    if (opened.has(summary.textContent)) summary.parentElement.open = true;
  }
  if (focused !== null) live.querySelector(focused)?.focus({ preventScroll: true });
  document.getElementById("news").textContent = isNews ? "The page shows what has changed." : "The list shows what was found.";
});

// A selector that finds the same control in the new page.
function path(element) {
  if (element.href) return `a[href="${CSS.escape(element.getAttribute("href"))}"]`;
  const value = element.getAttribute("value");
  return value === null ? null : `${element.tagName.toLowerCase()}[value="${CSS.escape(value)}"]`;
}

document.addEventListener("change", async (event) => {
  const into = event.target.dataset?.into;
  const file = into && event.target.files[0];
  if (file) document.getElementById(into).value = await file.text();
});
