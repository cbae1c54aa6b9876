// What is stored, what waits to be, and what was lost.

import { byId, element, text } from "./dom.js";
import { UNKNOWN, decimal, duration, known, unit } from "./format.js";
import { t } from "./i18n.js";

const LATE_S = 60; // points that wait for less are on their way
const COLUMNS = {
  name: (store) => store.name,
  written: (store) => count(store.written),
  pending: (store) => count(store.pending),
  oldest: (store) => duration(store.oldest_s),
  dropped: (store) => count(store.dropped),
  refused: (store) => count(store.refused),
  spool: (store) => unit(store.spool_used_pct, "%", 0),
};
const count = (value) => (known(value) ? decimal(value) : UNKNOWN);

export class Stores {
  show({ stores }) {
    byId("stores").hidden = stores.length === 0;
    const told = stores.map(trouble).filter(Boolean);
    text("stores-line", told.length ? t("stores.line", { what: told.join("; ") }) : "").hidden = told.length === 0;
    if (byId("stores-box").open || told.length) table(byId("stores-box").querySelector(".scroll"), stores);
  }
}

function trouble(store) {
  const waits = store.pending > 0 && store.oldest_s > LATE_S; // every point is on the disk for a moment
  const parts = [
    waits ? t("stores.waiting", { count: count(store.pending), time: duration(store.oldest_s) }) : null,
    waits && known(store.spool_used_pct) ? t("stores.full", { share: unit(store.spool_used_pct, "%", 0) }) : null,
    store.dropped > 0 ? t("stores.lost", { count: count(store.dropped) }) : null,
    store.refused > 0 ? t("stores.refused", { count: count(store.refused) }) : null,
  ].filter(Boolean);
  return parts.length ? `${store.name}: ${parts.join(", ")}` : null;
}

function table(box, stores) {
  const keys = Object.keys(COLUMNS);
  if (!box.firstChild) {
    const heads = keys.map((key) => element("th", { scope: "col", textContent: t(`stores.column.${key}`) }));
    box.append(element("table", { className: "table" }, element("thead", {}, element("tr", {}, ...heads)), element("tbody")));
  }
  const body = box.querySelector("tbody");
  while (body.children.length > stores.length) body.lastChild.remove();
  while (body.children.length < stores.length) {
    body.append(element("tr", {}, ...keys.map((_key, index) => element(index ? "td" : "th", index ? {} : { scope: "row", translate: false }))));
  }
  stores.forEach((store, row) => keys.forEach((key, column) => text(body.children[row].children[column], COLUMNS[key](store))));
}
