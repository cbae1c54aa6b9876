// Energy by day or month: upwards what the house used, downwards the sun that it did not get.

import { element, text } from "./dom.js";
import { decimal, energy, percent, roughly, worth } from "./format.js";
import { locale, t } from "./i18n.js";

const UP = { self_used: "self_used_wh", import: "import_wh" };
const DOWN = { export: "export_wh", held: "curtailed_wh" };
const COLUMNS = ["pv_wh", "self_used_wh", "load_wh", "import_wh", "export_wh", "curtailed_wh"];
const REDRAW_MS = 10_000;
const LINES = 4;
const DAY_MS = 86_400_000;

export class Bars {
  #rows = [];
  #by = "day";
  #currency = "";
  #chosen = -1;
  #drawnAt = 0;

  constructor(root) {
    this.chart = element("div", { className: "bars", tabIndex: 0 });
    this.chart.setAttribute("role", "img");
    this.at = element("p", { className: "at small" });
    this.at.setAttribute("aria-live", "polite");
    this.details = element("details", {}, element("summary", { textContent: t("chart.table") }), element("div", { className: "scroll", tabIndex: 0 }));
    this.details.lastChild.setAttribute("role", "group");
    this.details.lastChild.setAttribute("aria-label", t("energy.past"));
    this.details.addEventListener("toggle", () => this.#table());
    root.append(this.chart, this.at, this.details);
    this.chart.addEventListener("pointermove", (event) => this.#choose(this.#under(event)));
    this.chart.addEventListener("pointerdown", (event) => this.#choose(this.#under(event)));
    this.chart.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.#choose(-1));
    this.chart.addEventListener("blur", () => this.#choose(-1));
    this.chart.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const from = this.#chosen < 0 ? this.#rows.length : this.#chosen;
      this.#choose(Math.min(this.#rows.length - 1, Math.max(0, from + step)));
    });
  }

  /** Take other rows, by "day" or "month". */
  load(rows, by, currency) {
    if (by !== this.#by) this.#chosen = -1;
    this.#by = by;
    this.#currency = currency;
    this.#drawnAt = 0;
    this.show(rows);
  }

  /** Draw them; the one of now grows, and need not do so every second. */
  show(rows) {
    if (!rows.length || Date.now() - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = Date.now();
    this.#rows = withHoles(rows, this.#by);
    const sum = (row, parts) => Object.values(parts).reduce((total, key) => total + (row[key] ?? 0), 0);
    const top = Math.max(1, ...this.#rows.map((row) => sum(row, UP)));
    const bottom = Math.max(0, ...this.#rows.map((row) => sum(row, DOWN)));
    const columns = this.#rows.map((row) => column(row, top, bottom));
    this.chart.style.setProperty("--zero", `${(100 * bottom) / (top + bottom)}%`);
    const field = element("div", { className: "field" }, ...lines(top, bottom), ...columns);
    this.chart.replaceChildren(field, element("div", { className: "dates" }, ...this.#rows.map((row, index) => this.#label(row, index))));
    this.chart.setAttribute("aria-label", t(`energy.chart_${this.#by}`, { from: this.#name(this.#rows[0]), to: this.#name(this.#rows.at(-1)) }));
    this.#choose(this.#chosen);
    this.#table();
  }

  #under(event) {
    const { left, width } = this.chart.querySelector(".field").getBoundingClientRect();
    const index = Math.floor(((event.clientX - left) / width) * this.#rows.length);
    return index >= 0 && index < this.#rows.length ? index : -1;
  }

  #choose(index) {
    this.#chosen = index;
    this.chart.querySelectorAll(".column").forEach((one, place) => one.classList.toggle("chosen", place === index));
    const row = this.#rows[index];
    text(this.at, row ? this.#told(row) : t("energy.legend"));
  }

  #told(row) {
    if (row.missing) return `${this.#name(row)}: ${t("slot.unknown")}`;
    const values = COLUMNS.map((key) => t(`energy.told.${key}`, { energy: key === "curtailed_wh" ? roughly(row[key]) : energy(row[key]) }));
    const share = row.load_wh > 0 ? t("energy.told.share", { share: percent(row.self_used_wh / row.load_wh) }) : null;
    const more = [share, worth("earned", row.earned_c, this.#currency), worth("saved", row.saved_c, this.#currency)];
    return `${this.#name(row)}: ${[...values, ...more].filter(Boolean).join(", ")}`;
  }

  #name(row) {
    const options = this.#by === "day" ? { weekday: "short", day: "numeric", month: "short" } : { month: "long", year: "numeric" };
    return new Date(row.at).toLocaleDateString(locale, { ...options, timeZone: "UTC" });
  }

  /** The newest has its date below it, and before it as many as there is room for. */
  #label(row, index) {
    const every = this.#by === "day" ? 5 : 2;
    const options = this.#by === "day" ? { day: "numeric", month: "numeric" } : { month: "short" };
    const shown = (this.#rows.length - 1 - index) % every === 0;
    return element("span", { textContent: shown ? new Date(row.at).toLocaleDateString(locale, { ...options, timeZone: "UTC" }) : "" });
  }

  #table() {
    if (!this.details.open) return;
    const heads = ["", ...COLUMNS.map((key) => t(`energy.column.${key}`))].map((name) => (name ? element("th", { scope: "col", textContent: name }) : element("td")));
    const rows = this.#rows.filter((row) => !row.missing).reverse().map((row) => element("tr", {},
      element("th", { scope: "row", textContent: this.#name(row) }),
      ...COLUMNS.map((key) => element("td", { textContent: key === "curtailed_wh" ? roughly(row[key]) : energy(row[key]) }))));
    const table = element("table", { className: "table" }, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
    this.details.lastChild.replaceChildren(table);
  }
}

/** Days and months without data are left out of what is stored; here they are holes. */
function withHoles(rows, by) {
  const at = (row) => Date.parse(by === "day" ? row.date : `${row.date}-01`); // both are read as UTC
  const next = (time) => (by === "day" ? time + DAY_MS : new Date(time).setUTCMonth(new Date(time).getUTCMonth() + 1));
  const stored = new Map(rows.map((row) => [at(row), row]));
  const found = [];
  for (let time = at(rows[0]); time <= at(rows.at(-1)) && found.length < 400; time = next(time)) {
    found.push({ missing: true, at: time, ...(stored.has(time) && { ...stored.get(time), missing: false }) });
  }
  return found;
}

function column(row, top, bottom) {
  const parts = (keys, way) => Object.entries(keys).map(([name, key]) => {
    const part = element("span", { className: name });
    part.style.height = `${(100 * Math.max(0, row[key] ?? 0)) / (way === "up" ? top : bottom || 1)}%`;
    return part;
  });
  return element("div", { className: "column" }, element("div", { className: "up" }, ...parts(UP, "up")), element("div", { className: "down" }, ...parts(DOWN, "down")));
}

/** Horizontal lines at round numbers of kWh. */
function lines(top, bottom) {
  const rough = (top + bottom) / LINES / 1000;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * [1, 2, 5, 10].find((one) => one * size >= rough);
  const values = [];
  for (let value = -Math.floor(bottom / 1000 / step); value * step <= top / 1000; value += 1) values.push(value * step);
  return values.map((value) => {
    const line = element("span", { className: value === 0 ? "line zero" : "line" }, element("span", { textContent: decimal(Math.abs(value), 3) }));
    line.style.bottom = `${(100 * (value * 1000 + bottom)) / (top + bottom)}%`;
    return line;
  });
}
