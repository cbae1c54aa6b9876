// One card per inverter, kept and updated in place.

import { UNKNOWN, duration, element, energy, known, text, unit, watts } from "./format.js";

const OLD_S = 60;
const CONFLICT_S = 600; // a command that was not ours is shown for so long
const cards = new Map();

export function renderInverters(states, elapsed) {
  const box = document.getElementById("inverters");
  for (const serial of cards.keys()) {
    if (!states.some((state) => state.serial === serial)) {
      cards.get(serial).root.remove();
      cards.delete(serial);
    }
  }
  for (const state of states) {
    if (!cards.has(state.serial)) {
      cards.set(state.serial, build());
      box.append(cards.get(state.serial).root);
    }
    update(cards.get(state.serial), state, elapsed);
  }
  box.classList.toggle("empty", states.length === 0);
}

function build() {
  const part = {
    name: element("h3"), serial: element("p", { className: "muted small" }),
    power: element("p", { className: "power" }), state: element("span", { className: "badge small" }),
    fill: element("span", { className: "fill" }), mark: element("span", { className: "mark" }),
    scale: element("p", { className: "scale muted small" }), note: element("p", { className: "note small" }),
    panels: element("ul", { className: "panels" }), figures: element("dl", { className: "figures" }),
  };
  part.bar = element("div", { className: "bar" }, part.fill, part.mark);
  part.bar.setAttribute("role", "img");
  part.root = element("article", { className: "card inverter" },
    element("header", {}, element("div", {}, part.name, part.serial), element("div", { className: "right" }, part.power, part.state)),
    part.bar, part.scale, part.figures, part.panels, part.note);
  part.values = {};
  for (const [key, label] of [["acked", "Acknowledged"], ["temperature", "Temperature"], ["today", "Today"], ["age", "Last value"], ["guard", "Dead-man limit"]]) {
    part.values[key] = element("dd");
    part.figures.append(element("div", {}, element("dt", { textContent: label }), part.values[key]));
  }
  return part;
}

function update(part, state, elapsed) {
  const age = known(state.age_s) ? state.age_s + elapsed : null;
  const old = age === null || age > OLD_S || state.reachable === false;
  part.root.classList.toggle("stale", old);
  text(part.name, state.name);
  text(part.serial, state.serial);
  text(part.power, watts(state.power_w));
  const [word, tone] = condition(state);
  text(part.state, word).dataset.tone = tone;
  drawBar(part, state);
  text(part.scale, scale(state));
  const confirmed = known(state.acked_w) && known(state.limit_w) && Math.abs(state.acked_w - state.limit_w) < 1;
  text(part.values.acked, known(state.acked_w) ? `${watts(state.acked_w)}${confirmed ? " ✓" : ""}` : UNKNOWN);
  text(part.values.temperature, unit(state.temperature_c, "°C"));
  text(part.values.today, energy(state.yield_day_wh));
  text(part.values.age, age === null ? UNKNOWN : `${duration(age)} ago`);
  text(part.values.guard, !state.enabled ? UNKNOWN : state.guarded ? "Armed ✓" : "Not armed");
  const remarks = [state.note, foreign(state, elapsed)].filter(Boolean).join(" · ");
  text(part.note, remarks).hidden = !remarks;
  updatePanels(part.panels, state.panels);
}

function foreign(state, elapsed) {
  const age = known(state.foreign_age_s) ? state.foreign_age_s + elapsed : null;
  return state.foreign && age !== null && age < CONFLICT_S ? `Somebody else commanded it ${duration(age)} ago (${state.foreign})` : null;
}

function condition(state) {
  if (!state.enabled) return ["Only shown", "calm"];
  if (state.reachable === false) return ["Not reachable", "bad"];
  if (state.reachable === null) return ["Not heard yet", "calm"];
  if (state.producing === false) return ["Idle", "calm"];
  return state.producing ? ["Producing", "good"] : ["Reachable", "good"];
}

function drawBar(part, state) {
  const share = (value) => `${Math.min(100, Math.max(0, (100 * value) / state.max_w))}%`;
  const ratio = known(state.max_w) && state.max_w > 0;
  part.fill.style.width = ratio && known(state.power_w) ? share(state.power_w) : "0";
  part.mark.hidden = !(ratio && known(state.limit_w));
  if (!part.mark.hidden) part.mark.style.left = share(state.limit_w);
  part.bar.setAttribute("aria-label", `${watts(state.power_w)} of ${watts(state.limit_w)} allowed, ${watts(state.max_w)} possible`);
}

function scale(state) {
  const limit = known(state.limit_w) ? `Limit ${watts(state.limit_w)}` : "No limit sent yet";
  return state.enabled ? `${limit} of ${watts(state.max_w)}` : `Never commanded; rated ${watts(state.max_w)}`;
}

function updatePanels(list, panels) {
  const most = Math.max(1, ...panels.map((panel) => panel.power_w ?? 0));
  while (list.children.length > panels.length) list.lastChild.remove();
  while (list.children.length < panels.length) {
    const meter = element("span", { className: "thin" }, element("span", { className: "fill" }));
    meter.setAttribute("aria-hidden", "true");
    list.append(element("li", {}, element("span", { className: "panel-name" }), meter, element("span", { className: "panel-power" })));
  }
  panels.forEach((panel, index) => {
    const [name, meter, power] = list.children[index].children;
    text(name, panel.name || `Input ${panel.channel}`);
    text(power, watts(panel.power_w));
    meter.firstChild.style.width = known(panel.power_w) ? `${Math.max(0, (100 * panel.power_w) / most)}%` : "0";
  });
}
