// What happened: modes, settings, faults and excursions, the newest first.

import { look } from "./api.js";
import { byId, element, press, text } from "./dom.js";
import { clock, date, duration, known, weekday, watts } from "./format.js";
import { has, t } from "./i18n.js";

const FIRST = 12;
const MORE = 50;
const ENOUGH = 6; // that the filter lets through, else older ones are fetched as well
const TRIES = 5;
const SETTLE_MS = 3000; // what happened is stored a moment later
const BUSY_MS = 2000;
const FILTERS = { all: null, faults: ["fault", "fault_cleared"], modes: ["mode"], settings: ["settings"], excursions: ["excursion"] };
const TONES = { fault: "bad", excursion: "warn", fault_cleared: "good" };
const WEEK_S = 6 * 86400;

export class Journal {
  #root = byId("journal");
  #entries = new Map(); // by what tells them apart, in the order of the list
  #filter = "all";
  #more = false;
  #seen = "";
  #timer = 0;
  #list = element("ol", { className: "entries" });
  #none = element("p", { className: "muted small" });
  #older = element("button", { type: "button", textContent: t("journal.older") });

  constructor() {
    const buttons = Object.keys(FILTERS).map((key) => element("button", { type: "button", textContent: t(`journal.${key}`) }));
    buttons.forEach((button, index) => button.addEventListener("click", () => {
      this.#filter = Object.keys(FILTERS)[index];
      press(buttons, (one) => one === button);
      this.#render();
      this.#fillUp();
    }));
    press(buttons, (button) => button === buttons[0]);
    const filters = element("div", { className: "spans" }, ...buttons);
    filters.setAttribute("role", "group");
    filters.setAttribute("aria-label", t("journal.filter"));
    this.#list.setAttribute("role", "list");
    this.#older.addEventListener("click", () => this.#fetchOlder());
    this.#root.append(
      element("div", { className: "chart-top" }, element("h2", { id: "journal-title", textContent: t("journal") }), filters),
      this.#list, this.#none, this.#older);
    this.refresh();
  }

  /** Ask again when something changed that is written down. */
  show(status) {
    const { mode, enabled, target_point_w: target, override, excursions, faults, enphase } = status;
    const seen = JSON.stringify([mode, enabled, target, override, excursions?.total, enphase?.events, faults.map((fault) => fault.key)]);
    if (seen !== this.#seen && this.#seen) this.#soon(SETTLE_MS);
    this.#seen = seen;
  }

  async refresh() {
    clearTimeout(this.#timer);
    const first = this.#entries.size === 0;
    const found = await this.#fetch(`limit=${first ? FIRST : MORE}`, first);
    if (found && first) this.#fillUp();
  }

  #soon(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (document.hidden ? null : this.refresh()), milliseconds);
  }

  /** How many new ones came; ``last``: what it says of more is about the end of the list. */
  async #fetch(query, last) {
    const { data, missing, busy } = await look(`api/journal?${query}`);
    if (missing) this.#root.hidden = true;
    if (busy) this.#soon(BUSY_MS);
    if (!data) return 0;
    const before = this.#entries.size;
    for (const entry of data.entries) this.#entries.set(JSON.stringify([entry.utc, entry.kind, entry.key, entry.text]), entry);
    const found = this.#entries.size - before;
    if (last) this.#more = data.more && found > 0;
    this.#root.hidden = false;
    this.#render();
    return found;
  }

  async #fetchOlder() {
    const oldest = this.#shown(() => true).at(-1);
    if (!oldest) return 0;
    const before = Math.floor(Date.parse(oldest.utc) / 1000) + 1; // others of that second may still be missing
    return this.#fetch(`limit=${MORE}&before=${before}`, true);
  }

  async #fillUp() {
    for (let tries = TRIES; tries && this.#more && this.#shown().length < ENOUGH; tries -= 1) {
      if (!(await this.#fetchOlder())) return;
    }
  }

  #shown(wanted = (entry) => !FILTERS[this.#filter] || FILTERS[this.#filter].includes(entry.kind)) {
    return [...this.#entries.values()].filter(wanted).sort((a, b) => Date.parse(b.utc) - Date.parse(a.utc));
  }

  #render() {
    const shown = this.#shown();
    this.#list.replaceChildren(...shown.map(row));
    text(this.#none, shown.length ? "" : t("journal.none")).hidden = shown.length > 0;
    this.#older.hidden = !this.#more;
  }
}

function row(entry) {
  const kind = element("span", { className: "badge small", textContent: has(`kind.${entry.kind}`) ? t(`kind.${entry.kind}`) : entry.kind });
  kind.dataset.tone = TONES[entry.kind] ?? "calm";
  const age = (Date.now() - Date.parse(entry.utc)) / 1000;
  const today = new Date(entry.utc).toDateString() === new Date().toDateString();
  const when = today ? clock(entry.utc) : `${(age < WEEK_S ? weekday : date)(entry.utc)} ${clock(entry.utc)}`;
  const extent = [
    known(entry.length_s) ? t("journal.lasted", { time: duration(entry.length_s) }) : null,
    known(entry.worst_w) ? t("journal.worst", { power: watts(entry.worst_w) }) : null,
  ].filter(Boolean).join(" · ");
  return element("li", {},
    element("time", { className: "muted small", dateTime: entry.utc, textContent: when }), kind,
    element("div", {}, element("p", { lang: "en", textContent: entry.text }),
      entry.next_step ? element("p", { className: "muted small", lang: "en", textContent: entry.next_step }) : null,
      extent ? element("p", { className: "muted small", textContent: extent }) : null));
}
