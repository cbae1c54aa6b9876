// The language of the page. Its texts are in lang/, one file per language, and nowhere else.

import { keep, read } from "./storage.js";

const OFFERED = ["en", "de"];
const KEY = "language";
const asked = new URLSearchParams(location.search).get("lang");
const wanted = [asked, read(KEY), ...navigator.languages.map((one) => one.slice(0, 2))];

export const language = wanted.find((one) => OFFERED.includes(one)) ?? "en";

/** For numbers and dates: the region of the browser, where it is one of the language. */
export const locale = navigator.languages.find((one) => one.startsWith(language)) ?? language;

const { default: texts } = await import(`./lang/${language}.js`);

/** The text of a key, with ``{name}`` replaced by the value of that name. */
export function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (_whole, name) => values[name]);
}

/** Whether there is a text of that key: what devices and controllers say is not always foreseen. */
export const has = (key) => key in texts;

/** Put the texts where the document names their keys. */
export function fill(root = document) {
  document.documentElement.lang = language;
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of root.querySelectorAll("[data-t-title]")) node.title = t(node.dataset.tTitle);
}

/** A button that names the other language, and changes to it. */
export function offerOther(button) {
  const other = OFFERED.find((one) => one !== language);
  button.lang = other;
  button.textContent = t("language.other");
  button.addEventListener("click", () => {
    const url = new URL(location);
    if (keep(KEY, other)) url.searchParams.delete("lang");
    else url.searchParams.set("lang", other);
    if (url.href === location.href) location.reload();
    else location.assign(url);
  });
}
