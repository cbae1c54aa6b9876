// Everything else that is known of an inverter: its card opens it on demand.

import { element, text } from "./dom.js";
import { UNKNOWN, ago, decimal, energy, known, unit, watts } from "./format.js";
import { t } from "./i18n.js";
import { inputName } from "./inverters.js";

const kWh = (value) => (known(value) ? `${decimal(value, value < 100 ? 2 : 0)} kWh` : UNKNOWN);
const aged = (value, age, elapsed) => (known(value) && known(age) ? `${watts(value)}, ${ago(age + elapsed)}` : watts(value));
const VALUES = {
  power: (state) => watts(state.power_w),
  dc_power: (state) => watts(state.dc_power_w),
  efficiency: (state) => unit(state.efficiency_pct, "%"),
  voltage: (state) => unit(state.voltage_v, "V"),
  frequency: (state) => unit(state.frequency_hz, "Hz", 2),
  temperature: (state) => unit(state.temperature_c, "°C"),
  limit: (state, elapsed) => aged(state.limit_w, state.limit_age_s, elapsed),
  acked: (state, elapsed) => aged(state.acked_w, state.acked_age_s, elapsed),
  range: (state) => t("range", { from: watts(state.min_w), to: watts(state.max_w) }),
  dead_time: (state) => unit(state.dead_time_s, "s", 2),
  today: (state) => energy(state.yield_day_wh),
  yield_total: (state) => kWh(state.yield_total_kwh),
  rssi: (state) => unit(state.rssi_dbm, "dBm", 0),
};
const COLUMNS = {
  input: inputName,
  power: (panel) => watts(panel.power_w),
  voltage: (panel) => unit(panel.voltage_v, "V"),
  current: (panel) => unit(panel.current_a, "A", 2),
  today: (panel) => energy(panel.yield_day_wh),
  yield_total: (panel) => kWh(panel.yield_total_kwh),
  irradiation: (panel) => unit(panel.irradiation_pct, "%"),
};

/** Fill the details of one inverter, or bring them up to date. */
export function renderDetail(box, state, elapsed) {
  if (!box.querySelector(".figures")) build(box);
  for (const cell of box.querySelectorAll("dd")) text(cell, VALUES[cell.dataset.key](state, elapsed));
  const body = box.querySelector("tbody");
  box.querySelector(".scroll").hidden = state.panels.length === 0;
  while (body.children.length > state.panels.length) body.lastChild.remove();
  while (body.children.length < state.panels.length) {
    body.append(element("tr", {}, ...Object.keys(COLUMNS).map((_key, index) => element(index ? "td" : "th", index ? {} : { scope: "row" }))));
  }
  state.panels.forEach((panel, row) => {
    Object.values(COLUMNS).forEach((shown, column) => text(body.children[row].children[column], shown(panel)));
    body.children[row].firstChild.translate = !panel.name;
  });
}

function build(box) {
  const figures = Object.keys(VALUES).map((key) => {
    const value = element("dd");
    value.dataset.key = key;
    return element("div", {}, element("dt", { textContent: t(`inverter.${key}`) }), value);
  });
  const heads = Object.keys(COLUMNS).map((key) => element("th", { scope: "col", textContent: t(`inverter.${key === "input" ? "inputs" : key}`) }));
  const table = element("table", { className: "table" }, element("thead", {}, element("tr", {}, ...heads)), element("tbody"));
  const scroll = element("div", { className: "scroll", tabIndex: 0 }, table);
  scroll.setAttribute("role", "group");
  scroll.setAttribute("aria-label", t("inverter.inputs"));
  box.append(element("dl", { className: "figures" }, ...figures), scroll);
}
