// The chart: draws stored values and one point per event over the time that it is told to show.

import { element, text } from "./dom.js";
import { UNKNOWN, clock, clockWithSeconds, day, decimal, known, moment, month, watts } from "./format.js";
import { t } from "./i18n.js";
import { css, axisStyle, gridFill, gridStroke, zeroLine } from "./paint.js";

const GAP_S = 180; // no values for this long, or for some of the stored steps, is a gap and not a straight line
const GAP_STEPS = 2.5;
const SHORTEST_S = 120;
const DAY_S = 86400;
const POINTS = 3600; // of the live end: more than there are pixels for
export const SERIES = [
  { key: "grid_w", name: "grid", color: "--import" },
  { key: "pv_w", name: "sun", color: "--sun" },
  { key: "load_w", name: "household", color: "--load" },
  { key: "limit_w", name: "limit", color: "--limit", step: true },
];
const BAND = ["grid_max_w", "grid_min_w"]; // behind the grid: what a mean over minutes or hours would hide
const ROWS = [...SERIES.map((series) => series.key), ...BAND];
/** Where the columns of the grid are. */
export const [GRID, MAX, MIN] = ["grid_w", ...BAND].map((key) => ROWS.indexOf(key) + 1);

export class Chart {
  data = [[], ...ROWS.map(() => [])];
  time = { span: 3600 }; // up to now, or {from, to}: then it stays put
  drawn = () => {};
  #gap = GAP_S;
  #stored = 0; // up to here the points came from the store

  constructor(box, legend, note) {
    this.box = box;
    this.note = note;
    this.values = buildLegend(legend, (index, shown) => this.#toggle(index, shown));
    this.plot = new window.uPlot(this.#options(), this.data, box);
    new ResizeObserver(() => this.plot.setSize(this.#size())).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plot.redraw(false, true));
  }

  /** Whether it follows what happens now. */
  get live() {
    return this.time.span !== undefined;
  }

  /** Show another stretch of time: {span} up to now, or {from, to}. Its values come with ``load``. */
  show(time) {
    this.time = time;
    this.draw();
  }

  /** Replace everything with stored values; live points that came in meanwhile stay. */
  load(history) {
    const stamps = history.utc_s;
    const steps = stamps.slice(1).map((stamp, index) => stamp - stamps[index]).sort((a, b) => a - b);
    this.#gap = Math.max(GAP_S, GAP_STEPS * (steps[steps.length >> 1] ?? 0));
    const end = stamps.at(-1) ?? -Infinity;
    const tail = this.live ? this.data[0].map((stamp, index) => (stamp > end ? index : -1)).filter((index) => index >= 0) : [];
    const kept = this.data.map((column) => tail.map((index) => column[index]));
    this.data = [[], ...ROWS.map(() => [])];
    this.#stored = end;
    stamps.forEach((stamp, index) => this.#append(stamp, (key) => history[key]?.[index]));
    kept[0].forEach((stamp, index) => this.#append(stamp, (key) => kept[ROWS.indexOf(key) + 1][index]));
    this.draw();
  }

  /** Add the values of one event, where it shows the present. */
  push(status) {
    const stamp = Date.parse(status.time_utc) / 1000;
    const [last, before] = [this.data[0].at(-1), this.data[0].at(-2)];
    if (!this.live || !known(stamp) || stamp <= last) return;
    const crowded = before > this.#stored && last - before < this.time.span / POINTS;
    const grids = [status.grid_w, ...(crowded ? [this.data[MIN].at(-1), this.data[MAX].at(-1)] : [])].filter(known);
    if (crowded) for (const column of this.data) column.pop();
    const extreme = { grid_min_w: Math.min(...grids), grid_max_w: Math.max(...grids) };
    this.#append(stamp, (key) => (known(extreme[key]) ? extreme[key] : status[key]));
    const expired = this.data[0].findIndex((time) => time >= stamp - this.time.span - 60);
    if (expired > 120) this.data = this.data.map((column) => column.slice(expired));
    this.draw();
  }

  #append(stamp, value) {
    const last = this.data[0].at(-1);
    if (stamp - last > this.#gap) this.data.forEach((column, row) => column.push(row ? null : last + 1));
    this.data[0].push(stamp);
    ROWS.forEach((key, row) => this.data[row + 1].push(value(key) ?? null));
    if (known(this.data[MIN].at(-1))) this.data[MAX].push(this.data[MAX].pop() ?? this.data[GRID].at(-1));
  }

  draw() {
    const [from, to] = this.range();
    const seen = this.data[0].some((stamp) => stamp >= from && stamp <= to);
    this.note.hidden = this.live ? this.data[0].length > 1 : seen;
    text(this.note, t(this.live ? "chart.empty" : "chart.nothing"));
    this.plot.setData(this.data);
    if (this.plot.cursor.idx == null || this.plot.cursor.left < 0) this.#showValues(null);
    this.drawn();
  }

  #size() {
    return { width: Math.max(240, this.box.clientWidth), height: this.box.clientHeight || 240 };
  }

  /** Up to the last point; a controller that started a minute ago has no empty hour before it. */
  range() {
    if (!this.live) return [this.time.from, this.time.to];
    const end = this.data[0].at(-1) ?? Date.now() / 1000;
    const first = this.data[0][0] ?? end - this.time.span;
    return [Math.max(end - this.time.span, Math.min(first, end - SHORTEST_S)), end];
  }

  /** Move the cursor by some points; from the end, where there is none yet. */
  step(direction) {
    const stamps = this.data[0];
    const [from, to] = this.range();
    const first = stamps.findIndex((stamp) => stamp >= from);
    const last = stamps.findLastIndex((stamp) => stamp <= to);
    if (first < 0 || last < first) return;
    const here = this.plot.cursor.left >= 0 ? (this.plot.cursor.idx ?? last) : last;
    const stride = Math.max(1, Math.round((last - first) / 120));
    const index = Math.min(last, Math.max(first, here + direction * stride));
    this.plot.setCursor({ left: this.plot.valToPos(stamps[index], "x"), top: 10 });
  }

  #toggle(index, shown) {
    this.plot.setSeries(index + 1, { show: shown });
    if (index + 1 === GRID) for (const row of [MAX, MIN]) this.plot.setSeries(row, { show: shown });
  }

  #showValues(index) {
    const at = index ?? this.data[0].length - 1;
    SERIES.forEach((_series, row) => text(this.values[row], watts(this.data[row + 1][at])));
    const stamp = this.data[0][at];
    const [from, to] = this.range();
    const low = this.data[MIN][at];
    const least = known(low) && low < (this.data[GRID][at] ?? low) - 0.5 ? t("chart.least", { grid: watts(low) }) : "";
    const when = stamp === undefined ? "" : (to - from > DAY_S / 2 ? moment : clockWithSeconds)(1000 * stamp);
    text(this.values.time, index == null ? "" : [when, least].filter(Boolean).join(" · "));
  }

  #options() {
    const axis = axisStyle();
    return {
      ...this.#size(),
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false, dist: 6 }, y: false, points: { size: 7 }, bind: { dblclick: () => null } },
      scales: { x: { range: () => this.range() }, y: { range: (_plot, low, high) => padded(low, high) } },
      axes: [
        { ...axis, size: 30, space: (_plot, _axis, from, to) => (to - from > 900 && to - from < 2 * DAY_S ? 58 : 84), values: times },
        { ...axis, size: 56, space: 36, values: (_plot, splits) => splits.map((split) => decimal(split)) },
      ],
      series: [{}, ...SERIES.map(line), ...BAND.map(() => ({ stroke: "transparent", width: 0, points: { show: false } }))],
      bands: [{ series: [MAX, MIN], fill: gridFill }],
      hooks: { setCursor: [(plot) => this.#showValues(plot.cursor.idx)], draw: [zeroLine] },
    };
  }
}

/** A month, a day or a time of day; midnight shows as the day that begins. */
function times(_plot, splits, _axis, _space, step) {
  return splits.map((split) => {
    const date = new Date(split * 1000);
    if (step >= 28 * DAY_S) return month(date);
    if (step >= DAY_S || !(date.getHours() || date.getMinutes() || date.getSeconds())) return day(date);
    return (step < 60 ? clockWithSeconds : clock)(date);
  });
}

function line(series) {
  const stepped = series.step ? { paths: window.uPlot.paths.stepped({ align: 1 }), dash: [5, 4] } : {};
  const stroke = series.key === "grid_w" ? gridStroke : () => css(series.color);
  return { label: series.name, stroke, width: series.step ? 1.5 : 2, points: { show: false }, ...stepped };
}

function padded(low, high) {
  const bottom = Math.min(0, low ?? 0);
  const top = Math.max(100, high ?? 0);
  const room = (top - bottom) * 0.06;
  return [bottom < 0 ? bottom - room : -room, top + room];
}

function buildLegend(box, onToggle) {
  const values = SERIES.map((series, index) => {
    const value = element("span", { className: "value", textContent: UNKNOWN });
    const button = element("button", { type: "button" }, element("span", { className: `swatch ${series.key}` }), `${t(series.name)} `, value);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      onToggle(index, shown);
    });
    box.append(button);
    return value;
  });
  values.time = element("span", { className: "muted at" });
  box.append(values.time);
  return values;
}
