// What the chart shows: the last hours as they grow, or some stretch of the past that stays put; and its values.

import { headers, look, refusal } from "./api.js";
import { Chart } from "./chart.js";
import { byId, press, say, text } from "./dom.js";
import { locale, t } from "./i18n.js";
import { zoomable } from "./zoom.js";

const SHORTEST_S = 120;
const LONGEST_S = 400 * 86400;
const BY_SECONDS_S = 31 * 86400; // the longest that is asked for as "up to now"
const SETTLE_MS = 250; // a gesture comes in many steps: its end is what is asked for
const BUSY_MS = 2000;
const spans = document.querySelectorAll("[data-span]");

export class Past {
  #chart = new Chart(byId("plot"), byId("legend"), byId("chart-note"));
  #span = 3600;
  #now = Date.now() / 1000; // by the controller's clock
  #asked = 0;
  #timer = 0;
  #loadedAt = 0;

  constructor() {
    const [look, live] = [(from, to) => this.#look(from, to), () => this.#live()];
    const [zoom, pan] = [(factor, around) => this.#zoom(factor, around), (direction) => this.#pan(direction)];
    zoomable(this.#chart, { look, live, zoom, pan });
    for (const button of spans) button.addEventListener("click", () => this.#live(Number(button.dataset.span)));
    const tools = { closer: () => zoom(0.5), wider: () => zoom(2), earlier: () => pan(-1), later: () => pan(1), "back-live": live };
    for (const [id, act] of Object.entries(tools)) byId(id).addEventListener("click", act);
    byId("download").addEventListener("click", () => this.#download());
    byId("summary").addEventListener("toggle", () => this.#summarise());
    this.#chart.drawn = () => this.#summarise();
    this.#say();
  }

  show(status) {
    const stamp = Date.parse(status.time_utc) / 1000;
    if (stamp > 0) this.#now = stamp;
    this.#chart.push(status);
    const old = this.#now - this.#loadedAt > Math.max(600, this.#span / 300);
    if (this.#loadedAt && old && this.#chart.live && !document.hidden) this.refresh();
  }

  /** Fetch what is shown, at once. */
  refresh() {
    clearTimeout(this.#timer);
    this.#load();
  }

  #live(span = this.#span) {
    if (this.#chart.live && span === this.#span) return;
    this.#span = span;
    this.#chart.show({ span });
    const hadFocus = document.activeElement === byId("back-live");
    this.#say();
    if (hadFocus) [...spans].find((button) => Number(button.dataset.span) === span)?.focus(); // it has gone
    this.refresh();
  }

  #look(from, to) {
    const length = Math.min(LONGEST_S, Math.max(SHORTEST_S, to - from));
    const end = Math.min(this.#now, Math.max((from + to + length) / 2, this.#now - LONGEST_S + length));
    this.#chart.show({ from: end - length, to: end });
    this.#say();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(), SETTLE_MS);
  }

  /** ``around`` stays where it is: the cursor, where there is one, else the middle. */
  #zoom(factor, around) {
    const [from, to] = this.#chart.range();
    const { left } = this.#chart.plot.cursor;
    const fixed = around ?? (left >= 0 ? this.#chart.plot.posToVal(left, "x") : (from + to) / 2);
    this.#look(fixed - (fixed - from) * factor, fixed + (to - fixed) * factor);
  }

  #pan(direction) {
    const [from, to] = this.#chart.range();
    const way = (direction * (to - from)) / 2;
    this.#look(from + way, to + way);
  }

  /** Which time it is, in the title and on the buttons. */
  #say() {
    const { live } = this.#chart;
    const [from, to] = this.#chart.range();
    press(spans, (button) => live && Number(button.dataset.span) === this.#span);
    byId("back-live").hidden = live;
    byId("later").disabled = live || to >= this.#now;
    text("chart-title", live ? t(`last.${this.#span}`) : stretch(from, to));
  }

  async #load() {
    const { live } = this.#chart;
    const [from, to] = live ? [this.#now - this.#span, this.#now] : this.#chart.range();
    const number = ++this.#asked;
    this.#loadedAt = this.#now;
    const recent = live && this.#span <= BY_SECONDS_S;
    const query = recent ? `seconds=${this.#span}` : `from=${Math.floor(from)}&to=${Math.ceil(to)}`;
    const { data, busy } = await look(`api/history?${query}`);
    if (number !== this.#asked) return; // somebody looks elsewhere by now
    if (data) this.#chart.load(data);
    else if (busy) this.#timer = setTimeout(() => this.#load(), BUSY_MS); // others are looking
  }

  async #summarise() {
    if (!byId("summary").open) return;
    const module = await import("./summary.js").catch(() => null);
    module?.summarise(byId("summary").querySelector(".scroll"), this.#chart);
  }

  /** A file with the stored minutes; by fetch, so that the token goes with it. */
  async #download() {
    const [from, to] = this.#chart.range().map(Math.round);
    say("download-message", t("download.wait"));
    try {
      const response = await fetch(`api/export?table=minute&from=${from}&to=${to}`, { headers: headers({ Accept: "text/csv" }) });
      if (!response.ok) {
        const { error, controller } = await refusal(response);
        return say("download-message", error, "bad", controller);
      }
      const url = URL.createObjectURL(await response.blob());
      const name = response.headers.get("Content-Disposition")?.match(/filename="?([^";]+)/)?.[1] ?? "zero-export.csv";
      Object.assign(document.createElement("a"), { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      return say("download-message", "");
    } catch {
      return say("download-message", t("download.failed"), "bad");
    }
  }
}

/** From when to when, as briefly as it goes. */
function stretch(from, to) {
  const parts = to - from > 40 * 86400 ? {} : { hour: "2-digit", minute: "2-digit" };
  const year = to - from > 40 * 86400 ? { year: "numeric" } : {};
  return new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", ...year, ...parts }).formatRange(1000 * from, 1000 * to);
}
