// The price: what it is, what it makes the inverters do, what that was worth, and deciding in its place for a while.

import { change, request } from "./api.js";
import { clock, date, duration, element, energy, known, roughly, text } from "./format.js";
import { PriceChart, cents } from "./pricechart.js";

const FRESH_S = 300; // prices ahead change without a change of the price now
const RETRY_S = 10;
const MODES = { limit: ["Holding the target", "calm"], open: ["Export allowed", "good"], shutdown: ["Shut down", "warn"] };
const AUTOMATIC = { true: "The price decides.", false: "The target is held, as always." };
const byId = (id) => document.getElementById(id);

/** The price card, and the choices of the override, wherever they are shown. */
export class Price {
  #status = null;
  #now = 0; // of the controller's clock, in seconds: the one that the prices are for
  #shown = "";
  #askAfter = 0;
  #busy = false;
  #decided = "null";
  #chart = new PriceChart(byId("price-chart"));

  constructor() {
    for (const button of document.querySelectorAll("[data-override]")) {
      button.addEventListener("click", () => this.#decide(button.dataset.override));
    }
    byId("override-for").addEventListener("change", () => {
      const override = this.#status && this.#override();
      if (override) this.#decide(override.mode);
    });
    byId("override-cancel").addEventListener("click", () => {
      byId("override-auto").focus(); // the button that has the focus is about to go
      this.#decide("auto");
    });
  }

  /** Show a status; ``elapsed`` seconds have passed since it came. */
  show(status, elapsed) {
    this.#status = status;
    this.#now = Date.parse(status.time_utc) / 1000 + (status.ages.tick_s ?? 0) + elapsed;
    const { price } = status;
    byId("price-card").hidden = !price;
    byId("by-hand").hidden = Boolean(price);
    const place = byId(price ? "price-override" : "by-hand");
    if (byId("override").parentElement !== place) place.append(byId("override"));
    if (price) {
      renderPrice(price);
      renderGate(status, this.#override(), this.#now);
      this.#refresh();
      this.#chart.show(this.#now, this.#override());
    }
    renderLedger(status.ledger, Boolean(price));
    this.#renderOverride();
  }

  /** The override that is in force; its end may come before the controller says so. */
  #override() {
    const { override } = this.#status;
    return override && Date.parse(override.until_utc) / 1000 > this.#now ? override : null;
  }

  #refresh() {
    const { price, gate } = this.#status;
    const shown = JSON.stringify([price, gate?.mode]);
    if (document.hidden || (shown === this.#shown && this.#now < this.#askAfter)) return;
    this.#shown = shown;
    this.#askAfter = this.#now + FRESH_S;
    request("GET", "api/prices").catch(() => ({ ok: false })).then((answer) => {
      if (answer.ok) this.#chart.load(answer.data);
      else this.#askAfter = this.#now + RETRY_S;
    });
  }

  #renderOverride() {
    const override = this.#override();
    const decided = JSON.stringify(override);
    if (decided !== this.#decided) text("override-message", ""); // what was said of it is no longer so
    this.#decided = decided;
    const priced = Boolean(this.#status.price);
    const mode = override?.mode ?? "auto";
    for (const button of document.querySelectorAll("[data-override]")) {
      button.setAttribute("aria-pressed", String(button.dataset.override === mode));
    }
    byId("override-limit").hidden = !priced && mode !== "limit";
    const next = byId("override-next");
    next.hidden = next.disabled = !this.#status.price?.valid_until_utc;
    if (next.disabled && next.selected) byId("override-for").value = "60";
    byId("override-running").hidden = !override;
    byId("override-waiting").hidden = Boolean(override);
    text("override-waiting", AUTOMATIC[priced]);
    if (!override) return;
    byId("by-hand").open = true;
    const left = Date.parse(override.until_utc) / 1000 - this.#now;
    text("override-text", `${MODES[mode][0]} until ${clock(override.until_utc)}, ${duration(left)} left`);
  }

  async #decide(mode) {
    if (!this.#status || this.#busy) return;
    this.#busy = true;
    text("override-message", "");
    const chosen = byId("override-for").value;
    const until = chosen === "next_price" ? { until: chosen } : { minutes: Number(chosen) };
    try {
      const { override } = await change(mode === "auto" ? { mode } : { mode, ...until }, "api/override");
      this.#status.override = override;
      this.#decided = JSON.stringify(override);
      const done = override ? `${MODES[override.mode][0]} until ${clock(override.until_utc)}.` : AUTOMATIC[Boolean(this.#status.price)];
      text("override-message", done).dataset.tone = "good";
      this.#renderOverride();
    } catch (error) {
      text("override-message", error.message).dataset.tone = "bad";
    } finally {
      this.#busy = false;
    }
  }
}

function renderPrice(price) {
  const { export_value_c: sell, import_price_c: buy } = price;
  text("price-label", sell < 0 ? "Export costs" : "Export earns");
  text("price", cents(sell)).dataset.tone = sell < 0 ? "bad" : "";
  byId("import-box").hidden = !known(buy);
  text("import-label", buy < 0 ? "Import earns" : "Import costs");
  text("import-price", cents(buy));
  const sure = !known(sell) ? "The price of export is not known" : price.estimated ? "An estimate: it may still change" : "Confirmed";
  const until = price.valid_until_utc ? `until ${clock(price.valid_until_utc)}` : null;
  text("price-text", [sure, until, price.fault].filter(Boolean).join(" · "));
}

function renderGate({ gate, enabled, mode }, override, now) {
  byId("gate").hidden = byId("gate-box").hidden = !gate;
  if (!gate) return;
  const [name, tone] = MODES[gate.mode] ?? [gate.mode, "calm"];
  text("gate", name).dataset.tone = tone;
  const hand = gate.by_hand && override ? `by hand until ${clock(override.until_utc)}` : gate.reason;
  text("gate-reason", hand.charAt(0).toUpperCase() + hand.slice(1));
  const age = now - Date.parse(gate.since_utc) / 1000;
  const since = known(age) ? `Since ${clock(gate.since_utc)} (${duration(Math.max(0, age))})` : "";
  const paused = enabled === "off" ? "Zero export is paused: the price has no say now" : "";
  const safe = mode === "fail_safe" ? "The fail-safe comes first: the price has no say now" : "";
  text("gate-since", [since, paused || safe].filter(Boolean).join(" · "));
}

function renderLedger(ledger, priced) {
  byId("ledger").hidden = !ledger || !priced;
  byId("exported-box").hidden = byId("held-box").hidden = !ledger || priced;
  if (!ledger) return;
  text("exported", energy(ledger.today.export_wh));
  text("held", roughly(ledger.today.curtailed_wh)).title = ledger.method;
  if (!priced) return;
  text("ledger-since", `Since ${date(ledger.since_utc)}`);
  text("ledger-method", ledger.method);
  for (const when of ["today", "total"]) {
    const account = ledger[when];
    fill(`${when}-import`, energy(account.import_wh));
    fill(`${when}-export`, energy(account.export_wh), worth("earned", account.earned_c, ledger.currency));
    const unsure = account.uncertain_s > 60 ? `uncertain for ${duration(account.uncertain_s)}` : "";
    fill(`${when}-held`, `about ${roughly(account.curtailed_wh)}`, worth("saved", account.saved_c, ledger.currency), unsure);
  }
}

/** The first part strong, the others below it. */
function fill(id, ...parts) {
  const cell = byId(id);
  while (cell.children.length < parts.length) cell.append(element("span", { className: cell.children.length ? "muted small" : "strong" }));
  parts.forEach((part, index) => text(cell.children[index], part));
}

function worth(gained, value, currency) {
  if (!known(value) || !currency || Math.abs(value) < 0.5) return "";
  return `${value < 0 ? "cost" : gained} ${money(Math.abs(value), currency)}`;
}

const formats = new Map();

/** Hundredths of a currency, as people write it. */
export function money(value, currency) {
  if (!formats.has(currency)) {
    let format = { format: (amount) => `${amount.toFixed(2)} ${currency}` }; // whatever the configuration calls it
    try {
      format = new Intl.NumberFormat(undefined, { style: "currency", currency });
    } catch {
      // no ISO 4217 code
    }
    formats.set(currency, format);
  }
  return formats.get(currency).format(value / 100);
}
