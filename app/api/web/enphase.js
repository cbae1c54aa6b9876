// What an Enphase gateway tells: its meters, micro-inverters, devices and batteries.

import { byId, element, joined, text } from "./dom.js";
import { UNKNOWN, ago, decimal, energy, known, unit, watts } from "./format.js";
import { has, t } from "./i18n.js";

const FINE = "envoy.global.ok";
const METERS = {
  meter: (row) => row.name,
  power: (row) => watts(row.power_w),
  voltage: (row) => (row.phases?.length > 1 ? "" : unit(row.voltage_v, "V")), // of several it is their sum
  current: (row) => unit(row.current_a, "A", 2),
  factor: (row) => (known(row.power_factor) ? decimal(row.power_factor, 2, 2) : UNKNOWN),
  today: (row) => energy(row.today_wh),
  age: (row) => (row.phase ? "" : ago(row.age_s)),
};
const INVERTERS = {
  serial: (row) => row.serial,
  report: (row) => watts(row.power_w),
  age: (row) => ago(row.age_s),
  producing: (row) => yesNo(row.producing),
  reached: (row) => yesNo(row.communicating),
  state: (row) => condition(row),
};
const DEVICES = {
  serial: (row) => row.serial,
  device: (row) => t(`enphase.device.${row.kind}`),
  reached: (row) => yesNo(row.communicating),
  operating: (row) => yesNo(row.operating),
  relay: (row) => relay(row),
  state: (row) => condition(row),
};

export class Enphase {
  #root = byId("enphase");
  #about = element("p", { className: "muted small" });
  #notes = element("ul", { className: "notes small" });
  #battery = element("p");
  #meters = table("meters", METERS);
  #inverters = folded("inverters", INVERTERS);
  #devices = folded("devices", DEVICES);

  constructor() {
    const heading = element("h2", { id: "enphase-title", textContent: t("enphase") });
    this.#root.append(
      element("div", { className: "chart-top" }, heading, this.#about),
      this.#notes, this.#meters.root, this.#battery, this.#inverters.root, this.#devices.root);
  }

  show({ enphase }, elapsed) {
    this.#root.hidden = !enphase;
    if (!enphase) return;
    const told = [enphase.serial ?? enphase.name, enphase.software].map((words) => ({ controller: words }));
    joined(this.#about, told).translate = false;
    this.#note(enphase.notes);
    fill(this.#meters, lines(enphase.meters, elapsed));
    text(this.#battery, battery(enphase.battery, elapsed)).hidden = !enphase.battery;
    const inverters = reports(enphase, elapsed);
    text(this.#inverters.summary, summary(inverters));
    fill(this.#inverters, inverters);
    const others = (enphase.devices ?? []).filter((one) => one.kind !== "inverter");
    text(this.#devices.summary, t("enphase.devices.count", { count: decimal(others.length) }));
    fill(this.#devices, others);
  }

  #note(notes) {
    this.#notes.hidden = notes.length === 0;
    while (this.#notes.children.length > notes.length) this.#notes.lastChild.remove();
    while (this.#notes.children.length < notes.length) this.#notes.append(element("li", { lang: "en" }));
    notes.forEach((note, index) => text(this.#notes.children[index], note));
  }
}

/** A row for each meter, and below it one for each of its phases, where it has several. */
function lines(meters, elapsed) {
  return meters.flatMap((meter) => {
    const whole = { ...meter, name: t(`enphase.kind.${meter.kind}`), age_s: known(meter.age_s) ? meter.age_s + elapsed : null };
    const several = meter.phases.length > 1 ? meter.phases : [];
    return [whole, ...several.map((line) => ({ ...line, name: `L${line.phase}` }))];
  });
}

/** What each micro-inverter reported last, with what the gateway says of it. */
function reports({ microinverters, devices }, elapsed) {
  const states = new Map((devices ?? []).filter((one) => one.kind === "inverter").map((one) => [one.serial, one]));
  const rows = (microinverters ?? []).map((one) => ({ ...states.get(one.serial), ...one, age_s: known(one.age_s) ? one.age_s + elapsed : null }));
  const reported = new Set(rows.map((row) => row.serial));
  return [...rows, ...[...states.values()].filter((one) => !reported.has(one.serial))];
}

function summary(rows) {
  const producing = rows.filter((row) => row.producing).length;
  const ages = rows.map((row) => row.age_s).filter(known);
  const newest = ages.length ? ago(Math.min(...ages)) : UNKNOWN;
  return t("enphase.inverters.count", { count: decimal(rows.length), producing: decimal(producing), newest });
}

function battery(state, elapsed) {
  if (!state) return "";
  const way = !known(state.power_w) ? null : state.power_w > 0 ? "charging" : state.power_w < 0 ? "discharging" : "idle";
  const parts = [unit(state.soc_pct, "%", 0), way ? t(`enphase.battery.${way}`, { power: watts(Math.abs(state.power_w)) }) : null,
    known(state.age_s) ? ago(state.age_s + elapsed) : null];
  return t("enphase.battery", { state: parts.filter(Boolean).join(" · ") });
}

const yesNo = (value) => (typeof value === "boolean" ? t(value ? "enphase.yes" : "enphase.no") : UNKNOWN);

function relay({ relay: state, reason }) {
  if (!state) return UNKNOWN;
  const key = `enphase.relay.${state}`;
  return has(key) && (!reason || reason === "ok") ? t(key) : { controller: [state, reason].filter(Boolean).join(": ") };
}

/** All is well, or what is not in the gateway's own words. */
function condition({ status }) {
  if (!status?.length) return UNKNOWN;
  const wrong = status.filter((word) => word !== FINE);
  return status.includes(FINE) ? t("enphase.fine") : { controller: wrong.join(", ") };
}

function table(name, columns) {
  const heads = Object.keys(columns).map((key) => element("th", { scope: "col", textContent: t(`enphase.column.${key}`) }));
  const body = element("tbody");
  const root = element("div", { className: "scroll", tabIndex: 0 },
    element("table", { className: "table" }, element("thead", {}, element("tr", {}, ...heads)), body));
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", t(`enphase.${name}`));
  return { root, body, columns: Object.values(columns) };
}

/** A table that opens on demand: there may be fifty of them. */
function folded(name, columns) {
  const made = table(name, columns);
  const heading = element("summary");
  return { ...made, root: element("details", {}, heading, made.root), summary: heading };
}

function fill({ root, body, columns }, rows) {
  root.hidden = rows.length === 0;
  while (body.children.length > rows.length) body.lastChild.remove();
  while (body.children.length < rows.length) {
    body.append(element("tr", {}, ...columns.map((_shown, index) => element(index ? "td" : "th", index ? {} : { scope: "row" }))));
  }
  rows.forEach((row, at) => {
    body.children[at].className = row.phase ? "part-of" : "";
    columns.forEach((shown, index) => joined(body.children[at].children[index], [shown(row)]));
    body.children[at].firstChild.translate = !row.serial;
  });
}
