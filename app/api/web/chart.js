// The chart: stored values first, then one point per event.

import { UNKNOWN, known, watts } from "./format.js";

const GAP_S = 180; // no values for this long is a gap, not a straight line
const SHORTEST_S = 120;
const SERIES = [
  { key: "grid_w", label: "Grid", color: "--import" },
  { key: "pv_w", label: "Sun", color: "--sun" },
  { key: "load_w", label: "Household", color: "--load" },
  { key: "limit_w", label: "Limit", color: "--limit", step: true },
];

/** A colour of the style sheet, as it is now. */
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  constructor(box, legend, note) {
    this.box = box;
    this.note = note;
    this.span = 3600;
    this.data = [[], ...SERIES.map(() => [])];
    this.values = buildLegend(legend, (index, shown) => this.plot.setSeries(index + 1, { show: shown }));
    this.plot = new window.uPlot(this.options(), this.data, box);
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plot.redraw(false, true));
    followTouch(this.plot);
    this.followKeys();
  }

  /** Show another stretch of time; its values come with ``load``. */
  setSpan(seconds) {
    this.span = seconds;
    this.draw();
  }

  /** Replace everything with stored values; points that came in meanwhile stay. */
  load(history) {
    const stored = [history.utc_s, ...SERIES.map((series) => history[series.key])];
    const end = history.utc_s.at(-1) ?? -Infinity;
    const keep = this.data[0].map((stamp, index) => (stamp > end ? index : -1)).filter((index) => index >= 0);
    this.data = stored.map((column, row) => this.withGaps(column, history.utc_s, row).concat(keep.map((index) => this.data[row][index])));
    this.draw();
  }

  /** Add the values of one event. */
  push(status) {
    const stamp = Date.parse(status.time_utc) / 1000;
    const last = this.data[0].at(-1);
    if (!known(stamp) || stamp <= last) return;
    if (stamp - last > GAP_S) this.append(last + 1, () => null);
    this.append(stamp, (series) => status[series.key]);
    const expired = this.data[0].findIndex((time) => time >= stamp - this.span - 60);
    if (expired > 120) this.data = this.data.map((column) => column.slice(expired));
    this.draw();
  }

  append(stamp, value) {
    this.data[0].push(stamp);
    SERIES.forEach((series, index) => this.data[index + 1].push(value(series) ?? null));
  }

  withGaps(column, stamps, row) {
    return column.flatMap((value, index) =>
      index && stamps[index] - stamps[index - 1] > GAP_S ? [row ? null : stamps[index - 1] + 1, value] : [value]);
  }

  draw() {
    this.note.hidden = this.data[0].length > 1;
    this.plot.setData(this.data);
    if (this.plot.cursor.idx == null || this.plot.cursor.left < 0) this.showValues(null);
  }

  size() {
    return { width: Math.max(240, this.box.clientWidth), height: this.box.clientHeight || 240 };
  }

  /** Up to the last point; a controller that started a minute ago has no empty hour before it. */
  range() {
    const end = this.data[0].at(-1) ?? Date.now() / 1000;
    const first = this.data[0][0] ?? end - this.span;
    return [Math.max(end - this.span, Math.min(first, end - SHORTEST_S)), end];
  }

  showValues(index) {
    const at = index ?? this.data[0].length - 1;
    SERIES.forEach((series, row) => {
      const value = this.data[row + 1][at];
      this.values[row].textContent = known(value) ? watts(value) : UNKNOWN;
    });
    const stamp = this.data[0][at];
    this.values.time.textContent = index == null || stamp === undefined ? "" : new Date(stamp * 1000).toLocaleTimeString();
  }

  followKeys() {
    this.box.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || !this.data[0].length) return;
      event.preventDefault();
      const stride = Math.max(1, Math.round(this.data[0].length / 120));
      const from = this.plot.cursor.idx ?? this.data[0].length - 1;
      const index = Math.min(this.data[0].length - 1, Math.max(0, from + step * stride));
      this.plot.setCursor({ left: this.plot.valToPos(this.data[0][index], "x"), top: 10 });
    });
    this.box.addEventListener("blur", () => this.plot.setCursor({ left: -10, top: -10 }));
  }

  options() {
    const axis = axisStyle();
    const minutes = { hour: "2-digit", minute: "2-digit" };
    const times = (_plot, splits, _axis, _space, step) =>
      splits.map((split) => new Date(split * 1000).toLocaleTimeString(undefined, step < 60 ? { ...minutes, second: "2-digit" } : minutes));
    return {
      ...this.size(),
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
      scales: { x: { range: () => this.range() }, y: { range: (_plot, low, high) => padded(low, high) } },
      axes: [
        { ...axis, size: 30, space: (_plot, _axis, from, to) => (to - from > 900 ? 58 : 92), values: times },
        { ...axis, size: 52, space: 36, values: (_plot, splits) => splits.map((split) => `${split}`.replace("-", "−")) },
      ],
      series: [{}, ...SERIES.map(line)],
      hooks: { setCursor: [(plot) => this.showValues(plot.cursor.idx)], draw: [zeroLine] },
    };
  }
}

/** How every axis looks. */
export function axisStyle() {
  return { stroke: () => css("--muted"), font: "12px system-ui, sans-serif", grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false } };
}

function line(series) {
  const stepped = series.step ? { paths: window.uPlot.paths.stepped({ align: 1 }), dash: [5, 4] } : {};
  const stroke = series.key === "grid_w" ? gridStroke : () => css(series.color);
  return { label: series.label, stroke, width: series.step ? 1.5 : 2, points: { show: false }, ...stepped };
}

/** Import above the zero line in one colour, export below it in another. */
function gridStroke(plot) {
  const { top, height } = plot.bbox;
  const zero = plot.scales.y.min == null ? null : (plot.valToPos(0, "y", true) - top) / height;
  if (zero === null || !Number.isFinite(zero) || zero <= 0 || zero >= 1) return css(zero <= 0 ? "--export" : "--import");
  const colors = plot.ctx.createLinearGradient(0, top, 0, top + height);
  colors.addColorStop(0, css("--import"));
  colors.addColorStop(zero, css("--import"));
  colors.addColorStop(zero, css("--export"));
  colors.addColorStop(1, css("--export"));
  return colors;
}

/** A line at 0 over the whole width. */
export function zeroLine(plot) {
  const { left, width } = plot.bbox;
  const y = Math.round(plot.valToPos(0, "y", true)) + 0.5;
  plot.ctx.save();
  plot.ctx.strokeStyle = css("--muted");
  plot.ctx.lineWidth = 1;
  plot.ctx.setLineDash([]);
  plot.ctx.beginPath();
  plot.ctx.moveTo(left, y);
  plot.ctx.lineTo(left + width, y);
  plot.ctx.stroke();
  plot.ctx.restore();
}

function padded(low, high) {
  const bottom = Math.min(0, low ?? 0);
  const top = Math.max(100, high ?? 0);
  const room = (top - bottom) * 0.06;
  return [bottom < 0 ? bottom - room : -room, top + room];
}

function buildLegend(box, onToggle) {
  const values = SERIES.map((series, index) => {
    const button = document.createElement("button");
    const value = document.createElement("span");
    const swatch = document.createElement("span");
    swatch.className = `swatch ${series.key}`;
    value.className = "value";
    value.textContent = UNKNOWN;
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(swatch, `${series.label} `, value);
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      onToggle(index, shown);
    });
    box.append(button);
    return value;
  });
  values.time = document.createElement("span");
  values.time.className = "muted at";
  box.append(values.time);
  return values;
}

/** A finger moves the cursor; a vertical swipe still scrolls the page. */
export function followTouch(plot) {
  const move = (event) => {
    if (event.pointerType !== "touch") return;
    const { left, top } = plot.over.getBoundingClientRect();
    plot.setCursor({ left: event.clientX - left, top: event.clientY - top });
  };
  plot.over.addEventListener("pointerdown", move);
  plot.over.addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) {
    plot.over.addEventListener(end, (event) => event.pointerType === "touch" && setTimeout(() => plot.setCursor({ left: -10, top: -10 }), 1500));
  }
}
