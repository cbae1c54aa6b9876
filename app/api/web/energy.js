// Where the energy came from and where it went: today, this month, in total; and by day and month.

import { look } from "./api.js";
import { Bars } from "./bars.js";
import { byId, element, joined, press, text } from "./dom.js";
import { date, duration, energy, known, percent, roughly, worth } from "./format.js";
import { t } from "./i18n.js";

const SPANS = ["today", "month", "total"];
const COUNTS = { day: 31, month: 12 };
const BUSY_MS = 2000;
const FIGURES = ["pv", "self_used", "export", "held", "load", "import"];

export class Energy {
  #root = byId("energy");
  #shown = "today";
  #by = "day";
  #ledger = null;
  #rows = null; // null: not known yet, or this controller keeps none
  #bars = null;
  #parts = {};

  constructor() {
    this.#build();
    this.refresh();
  }

  show(status) {
    const newDay = this.#ledger && status.ledger && status.ledger.date !== this.#ledger.date;
    this.#ledger = status.ledger;
    this.#parts.now.hidden = !status.ledger;
    this.#root.hidden = !status.ledger && !this.#rows?.length;
    if (status.ledger) this.#render(status.ledger);
    if (newDay) this.refresh();
    this.#bars.show(this.#current());
  }

  /** Fetch the days or months. */
  async refresh() {
    const by = this.#by;
    const { data, busy, missing } = await look(`api/energy?span=${by}&count=${COUNTS[by]}`);
    if (by !== this.#by) return;
    if (busy) setTimeout(() => this.refresh(), BUSY_MS);
    if (!data && !missing) return; // what is shown is the best there is
    this.#rows = data?.rows ?? null;
    this.#parts.past.hidden = !this.#rows?.length;
    this.#root.classList.toggle("alone", this.#parts.past.hidden);
    if (!this.#rows) return;
    if (this.#rows.length) this.#root.hidden = false;
    this.#bars.load(this.#current(), by, data.currency);
  }

  /** The rows, the last of them as it is by now. */
  #current() {
    const rows = this.#rows ?? [];
    const now = this.#ledger && (this.#by === "day" ? this.#ledger.today : this.#ledger.month);
    const date = this.#ledger?.date.slice(0, this.#by === "day" ? 10 : 7);
    return now && rows.at(-1)?.date === date ? [...rows.slice(0, -1), { ...rows.at(-1), ...now }] : rows;
  }

  #render(ledger) {
    const account = ledger[this.#shown];
    const { pv_wh: sun, self_used_wh: used, load_wh: load, import_wh: bought, export_wh: sold, curtailed_wh: held } = account;
    const { figures, bars, ratios } = this.#parts;
    const earned = worth("earned", account.earned_c, ledger.currency);
    const saved = worth("saved", account.saved_c, ledger.currency);
    const unsure = account.uncertain_s > 60 ? t("energy.uncertain", { time: duration(account.uncertain_s) }) : null;
    const values = { pv: [energy(sun)], self_used: [energy(used)], load: [energy(load)], import: [energy(bought)],
      export: [energy(sold), earned], held: [t("about", { value: roughly(held) }), saved, unsure] };
    for (const [key, [value, ...more]] of Object.entries(values)) {
      text(figures[key].firstChild, value);
      joined(figures[key].lastChild, more);
    }
    proportion(bars.sun, [used, sold, held], Math.max(sun + held, load));
    proportion(bars.house, [used, bought], Math.max(sun + held, load));
    const counted = sun >= sold; // more exported than the sun gave: the sun was not counted all the time
    text(ratios.self_use, percent(counted && sun > 0 ? used / sun : null));
    text(ratios.self_sufficiency, percent(counted && load > 0 ? used / load : null));
    const since = { today: null, month: null, total: t("since", { date: date(ledger.since_utc) }) }[this.#shown];
    text(this.#parts.since, since ?? "");
    text(this.#parts.method, ledger.method);
  }

  #build() {
    const parts = this.#parts;
    parts.spans = SPANS.map((key) => element("button", { type: "button", textContent: t(`energy.${key}`) }));
    parts.by = Object.keys(COUNTS).map((key) => element("button", { type: "button", textContent: t(`energy.by_${key}`) }));
    choose(parts.spans, SPANS, this.#shown, (key) => {
      this.#shown = key;
      if (this.#ledger) this.#render(this.#ledger);
    });
    choose(parts.by, Object.keys(COUNTS), this.#by, (key) => {
      this.#by = key;
      this.refresh();
    });
    parts.figures = Object.fromEntries(FIGURES.map((key) => [key, element("dd", {}, element("span"), element("span", { className: "more muted small" }))]));
    parts.bars = { sun: proportions(["self_used", "export", "held"]), house: proportions(["self_used", "import"]) };
    parts.ratios = { self_use: element("dd"), self_sufficiency: element("dd") };
    parts.since = element("p", { className: "muted small" });
    parts.method = element("p", { lang: "en" });
    const figure = (key, value) => element("div", {}, element("dt", {}, element("span", { className: `swatch ${key}` }), t(`energy.${key}`)), value);
    parts.now = element("div", { className: "energy-now" },
      element("dl", { className: "ratios" }, ...Object.entries(parts.ratios).map(([key, value]) => element("div", {}, element("dt", { textContent: t(`energy.${key}`) }), value))),
      element("div", { className: "split" }, element("p", { className: "small muted", textContent: t("sun") }), parts.bars.sun, element("p", { className: "small muted", textContent: t("household") }), parts.bars.house),
      element("dl", { className: "figures" }, ...Object.entries(parts.figures).map(([key, value]) => figure(key, value))),
      parts.since,
      element("details", { className: "muted small" }, element("summary", { textContent: t("energy.estimate") }), parts.method));
    parts.past = element("div", { className: "energy-past", hidden: true });
    this.#root.replaceChildren(
      element("div", { className: "chart-top" }, element("h2", { id: "energy-title", textContent: t("energy") }), group("energy.which", parts.spans)),
      parts.now, parts.past);
    parts.past.append(element("div", { className: "chart-top" }, element("h3", { textContent: t("energy.past") }), group("energy.past", parts.by)));
    this.#bars = new Bars(parts.past);
  }
}

function choose(buttons, keys, chosen, act) {
  press(buttons, (button) => keys[buttons.indexOf(button)] === chosen);
  for (const [index, button] of buttons.entries()) {
    button.addEventListener("click", () => {
      press(buttons, (one) => one === button);
      act(keys[index]);
    });
  }
}

function group(label, buttons) {
  const box = element("div", { className: "spans" }, ...buttons);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", t(label));
  return box;
}

function proportions(keys) {
  const bar = element("div", { className: "proportions" }, ...keys.map((key) => element("span", { className: key })));
  bar.setAttribute("aria-hidden", "true"); // the figures below say the same
  return bar;
}

function proportion(bar, values, whole) {
  values.forEach((value, index) => {
    bar.children[index].style.width = whole > 0 && known(value) ? `${(100 * Math.max(0, value)) / whole}%` : "0";
  });
}
