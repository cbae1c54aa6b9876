// What the chart of prices is painted with, and how much of time and money it spans.

import { css } from "./paint.js";
import { decimal, known } from "./format.js";
import { t } from "./i18n.js";

const PASTS_S = [900, 3600, 21600]; // shown before now: the first that is twice what is known ahead ...
const LONGEST_PAST_S = 43200; // ... or else half a day
const ORDINARY_C = 100; // what is more than this, and 8 times the median, does not set the scale
const LEAST_C = 10;
const LINES = [
  { key: "buy", color: "--import", width: 1.5 },
  { key: "sell", color: "--export", width: 2.5 },
];

/** The times and values to show: {from, to, low, high}. A spike of 2000 c would make all else a flat line: it is cut off. */
export function rangeOf(slots, now) {
  const to = Math.max(now, slots.at(-1).to);
  const past = (to > now && PASTS_S.find((seconds) => seconds >= 2 * (to - now))) || LONGEST_PAST_S;
  const from = Math.max(now - past, Math.min(now - 60, slots[0].from));
  const seen = slots.filter((slot) => slot.to > from && slot.from < to);
  const values = seen.flatMap((slot) => [slot.sell, slot.buy]).filter(known);
  const sizes = values.map(Math.abs).sort((a, b) => a - b);
  const ordinary = Math.max(ORDINARY_C, 8 * (sizes[sizes.length >> 1] ?? 0));
  const inside = values.filter((value) => Math.abs(value) <= ordinary);
  const low = Math.min(0, ...inside);
  const high = Math.max(low + LEAST_C, 0, ...inside);
  const room = (high - low) * 0.08;
  return { from, to, low: low - room, high: high + room };
}

/** Everything between the axes. */
export function paint(plot, slots, { from, to, low, high }, now) {
  const seen = slots.filter((slot) => slot.to > from && slot.from < to);
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  fill(plot, seen);
  for (const line of LINES) for (const sure of [true, false]) steps(plot, seen, line, sure);
  ctx.restore();
  ctx.save();
  nowLine(plot, now);
  peaks(plot, seen, low, high);
  ctx.restore();
}

const across = (plot, time) => plot.valToPos(time, "x", true);
const up = (plot, value) => plot.valToPos(value, "y", true);

/** Green where export earns, red where it costs; paler where nothing is confirmed. */
function fill(plot, slots) {
  const { ctx } = plot;
  const zero = up(plot, 0);
  for (const slot of slots.filter((one) => known(one.sell))) {
    ctx.globalAlpha = slot.sure ? 0.22 : 0.11;
    ctx.fillStyle = css(slot.sell < 0 ? "--bad" : "--good");
    const left = across(plot, slot.from);
    ctx.fillRect(left, zero, across(plot, slot.to) - left, up(plot, slot.sell) - zero);
  }
  ctx.globalAlpha = 1;
}

/** One price as steps; ``sure`` chooses what is confirmed, or else the rest, which is dashed. */
function steps(plot, slots, { key, color, width }, sure) {
  const { ctx } = plot;
  const scale = devicePixelRatio;
  ctx.beginPath();
  slots.forEach((slot, index) => {
    if (!known(slot[key]) || slot.sure !== sure) return;
    const before = slots[index - 1];
    const joined = before && before.to === slot.from && known(before[key]);
    const [left, y] = [across(plot, slot.from), up(plot, slot[key])];
    if (!joined) ctx.moveTo(left, y);
    else if (before.sure !== sure) ctx.moveTo(left, up(plot, before[key]));
    ctx.lineTo(left, y);
    ctx.lineTo(across(plot, slot.to), y);
  });
  ctx.strokeStyle = css(color);
  ctx.lineWidth = width * scale;
  ctx.lineJoin = "round";
  ctx.setLineDash(sure ? [] : [4 * scale, 3 * scale]);
  ctx.stroke();
  ctx.setLineDash([]);
}

function nowLine(plot, now) {
  const { ctx, bbox } = plot;
  const x = Math.round(across(plot, now)) + 0.5;
  ctx.strokeStyle = ctx.fillStyle = css("--text");
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  label(plot, t("now"), x, 0);
}

/** What is cut off is written at the edge, the largest first; what finds no room is left to the cursor. */
function peaks(plot, slots, low, high) {
  const beyond = (value) => known(value) && (value > high || value < low);
  const found = slots.map((slot) => ({ slot, value: [slot.sell, slot.buy].find(beyond) })).filter((one) => known(one.value));
  found.sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const taken = [];
  for (const { slot, value } of found) {
    const x = (across(plot, slot.from) + across(plot, slot.to)) / 2;
    const top = value > 0;
    if (taken.some((other) => other.top === top && Math.abs(other.x - x) < 56 * devicePixelRatio)) continue;
    taken.push({ x, top });
    label(plot, `${top ? "↑" : "↓"} ${decimal(value)}`, x, top ? 18 : plot.bbox.height / devicePixelRatio - 6, true);
  }
}

/** A text at ``x``, ``down`` below the upper edge (0: above it), kept within the width. */
function label(plot, what, x, down, backed = false) {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  ctx.font = `600 ${11 * scale}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  const width = ctx.measureText(what).width;
  const left = Math.min(bbox.left + bbox.width - width, Math.max(bbox.left, x - width / 2));
  const y = bbox.top + (down || -4) * scale;
  if (backed) {
    const ink = ctx.fillStyle;
    ctx.fillStyle = css("--card");
    ctx.fillRect(left - 3 * scale, y - 11 * scale, width + 6 * scale, 14 * scale);
    ctx.fillStyle = ink;
  }
  ctx.fillText(what, left, y);
}
