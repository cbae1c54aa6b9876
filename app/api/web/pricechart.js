// The chart of prices: steps of export value and import price, and below them what was done about it.

import { axisStyle, followTouch, zeroLine } from "./paint.js";
import { element, text } from "./dom.js";
import { UNKNOWN, clock, decimal, known, weekday } from "./format.js";
import { has, t } from "./i18n.js";
import { paint, rangeOf } from "./pricepaint.js";

const REDRAW_S = 15;

/** A price per kWh, without its sign: words say which way the money goes. */
export const cents = (value) => (known(value) ? `${decimal(Math.abs(value), 1, 1)} c/kWh` : UNKNOWN);
const exported = (value) => t(value < 0 ? "slot.sell_costs" : "slot.sell_earns", { price: cents(value) });
const imported = (value) => t(value < 0 ? "slot.buy_earns" : "slot.buy_costs", { price: cents(value) });
const named = (mode) => (has(`done.${mode}`) ? t(`done.${mode}`) : mode);

export class PriceChart {
  #slots = [];
  #modes = [];
  #now = 0;
  #override = null;
  #range = { from: 0, to: 1, low: 0, high: 1 };
  #drawn = "";
  #plot = null;

  constructor(root) {
    this.root = root;
    [this.box, this.band, this.at, this.next] = [".plot", ".band", ".at", ".next"].map((one) => root.querySelector(one));
    this.#followKeys();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plot?.redraw(false, true));
  }

  /** Take the answer of /api/prices. */
  load({ slots, modes }) {
    const utc = (iso) => Date.parse(iso) / 1000;
    const slot = (one) => ({ from: utc(one.start_utc), to: utc(one.end_utc), sell: one.export_value_c, buy: one.import_price_c, sure: one.confirmed });
    this.#slots = slots.map(slot).filter(({ from, to }) => from < to);
    this.#modes = modes.map((one) => ({ from: utc(one.since_utc), mode: one.mode })).filter((one) => known(one.from));
    this.#drawn = "";
    if (this.#now) this.show(this.#now, this.#override);
  }

  /** Draw it as of now, where there is anything new to see. */
  show(now, override) {
    this.#now = now;
    this.#override = override;
    const drawn = `${Math.floor(now / REDRAW_S)} ${override?.mode} ${override?.until_utc}`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const any = this.#slots.some((slot) => known(slot.sell) || known(slot.buy));
    this.root.classList.toggle("empty", !any);
    if (!any) return;
    this.#range = rangeOf(this.#slots, now);
    this.#plot ??= this.#create();
    const { from, to } = this.#range;
    this.#plot.setData([[from, to], [null, null]]);
    this.#showBand();
    text(this.next, upcoming(this.#slots, now));
  }

  #create() {
    const axis = axisStyle();
    const size = () => ({ width: Math.max(240, this.box.clientWidth), height: this.box.clientHeight || 200 });
    const plot = new window.uPlot({
      ...size(),
      padding: [18, 30, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
      scales: { x: { range: () => [this.#range.from, this.#range.to] }, y: { range: () => [this.#range.low, this.#range.high] } },
      axes: [
        { ...axis, size: 30, space: 78, values: (_plot, splits) => splits.map(tick) },
        { ...axis, size: 52, space: 34, values: (_plot, splits) => splits.map((split) => decimal(split)) },
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: {
        setCursor: [() => this.#showSlot()],
        draw: [zeroLine, (drawn) => paint(drawn, this.#slots, this.#range, this.#now)],
      },
    }, [[], []], this.box);
    new ResizeObserver(() => plot.setSize(size())).observe(this.box);
    followTouch(plot);
    return plot;
  }

  /** What was done so far, and for how long somebody has decided in the price's place. */
  #showBand() {
    const { from, to } = this.#range;
    const share = (time) => (100 * (Math.min(to, Math.max(from, time)) - from)) / (to - from);
    const parts = this.#modes.map((one, index) => ({ ...one, to: this.#modes[index + 1]?.from ?? this.#now }));
    const hand = this.#override;
    if (hand) parts.push({ mode: hand.mode, from: this.#now, to: Date.parse(hand.until_utc) / 1000, hand: true });
    const shown = parts
      .filter((one) => one.to > from && one.from < to)
      .map((one) => ({ ...one, name: one.hand ? t("done.by_hand", { mode: named(one.mode) }) : named(one.mode) }));
    this.band.replaceChildren(...shown.map((one) => {
      const part = element("span", { className: `part ${one.mode}${one.hand ? " hand" : ""}` }, element("span", { textContent: one.name }));
      part.style.left = `${share(one.from)}%`;
      part.style.width = `${share(one.to) - share(one.from)}%`;
      return part;
    }));
    const told = shown.slice(-8).map((one) => t("done.from", { mode: one.name, time: this.#when(Math.max(one.from, from)) }));
    this.band.setAttribute("aria-label", `${t("done")}: ${told.join(", ") || t("slot.unknown")}`);
  }

  #showSlot() {
    const { left } = this.#plot.cursor;
    const slot = left >= 0 ? this.#slots[this.#indexAt(this.#plot.posToVal(left, "x"))] : null;
    if (!slot) return text(this.at, "");
    const prices = [known(slot.sell) && exported(slot.sell), known(slot.buy) && imported(slot.buy)].filter(Boolean);
    const what = prices.length ? [...prices, ...(slot.sure ? [] : [t("slot.unsure")])] : [t("slot.unknown")];
    return text(this.at, t("slot", { from: this.#when(slot.from), to: clock(1000 * slot.to), what: what.join(", ") }));
  }

  #when(seconds) {
    return when(seconds, this.#now);
  }

  #indexAt(seconds) {
    return this.#slots.findIndex((slot) => slot.from <= seconds && seconds < slot.to);
  }

  #followKeys() {
    this.box.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || !this.#plot || !this.#slots.length) return;
      event.preventDefault();
      const { left } = this.#plot.cursor;
      const shown = left >= 0;
      const here = this.#indexAt(shown ? this.#plot.posToVal(left, "x") : this.#now);
      const last = this.#slots.length - 1;
      const first = this.#slots.findIndex((slot) => slot.to > this.#range.from);
      const slot = this.#slots[Math.min(last, Math.max(first, here < 0 ? last : shown ? here + step : here))];
      const middle = (Math.max(slot.from, this.#range.from) + slot.to) / 2;
      this.#plot.setCursor({ left: this.#plot.valToPos(middle, "x"), top: 10 });
    });
    this.box.addEventListener("blur", () => this.#plot?.setCursor({ left: -10, top: -10 }));
  }
}

/** When export turns from earning to costing, or back, as far as anybody knows. */
function upcoming(slots, now) {
  const current = slots.find((slot) => slot.from <= now && now < slot.to);
  if (!known(current?.sell)) return "";
  const turn = slots.find((slot) => slot.from > now && known(slot.sell) && slot.sell < 0 !== current.sell < 0);
  if (turn) {
    const sure = t(turn.sell < 0 ? "turn.costs" : "turn.earns", { time: when(turn.from, now), price: cents(turn.sell) });
    return turn.sure ? `${sure}.` : `${sure} (${t("slot.unsure")}).`;
  }
  const last = slots.findLast((slot) => known(slot.sell));
  return t(current.sell < 0 ? "turn.costs_until" : "turn.earns_until", { time: when(last.to, now) });
}

/** A time of day, with the day where it is not that of ``now``. */
function when(seconds, now) {
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date(now * 1000).toDateString();
  return today ? clock(date) : `${weekday(date)} ${clock(date)}`;
}

/** Midnight shows as the day that begins. */
function tick(seconds) {
  const date = new Date(seconds * 1000);
  return date.getHours() || date.getMinutes() ? clock(date) : weekday(date);
}
