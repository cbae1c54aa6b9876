// One card per inverter, kept and updated in place.

import { byId, element, joined, text } from "./dom.js";
import { UNKNOWN, ago, energy, known, unit, watts } from "./format.js";
import { t } from "./i18n.js";

const OLD_S = 60;
const CONFLICT_S = 600; // a command that was not ours is shown for so long
const FIGURES = ["acked", "temperature", "today", "age", "guard"];
const cards = new Map();

export function renderInverters(states, elapsed) {
  const box = byId("inverters");
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
  byId("no-inverters").hidden = states.length > 0;
}

function build() {
  const part = {
    name: element("h3", { translate: false }), serial: element("p", { className: "muted small", translate: false }),
    power: element("p", { className: "power" }), state: element("span", { className: "badge small" }),
    fill: element("span", { className: "fill" }), mark: element("span", { className: "mark" }),
    scale: element("p", { className: "scale muted small" }), note: element("p", { className: "note small" }),
    panels: element("ul", { className: "panels" }), figures: element("dl", { className: "figures" }),
    details: element("details", {}, element("summary", { textContent: t("details") })),
  };
  part.bar = element("div", { className: "bar" }, part.fill, part.mark);
  part.bar.setAttribute("role", "img");
  part.root = element("article", { className: "card inverter" },
    element("header", {}, element("div", {}, part.name, part.serial), element("div", { className: "right" }, part.power, part.state)),
    part.bar, part.scale, part.figures, part.panels, part.note, part.details);
  part.values = {};
  for (const key of FIGURES) {
    part.values[key] = element("dd");
    part.figures.append(element("div", {}, element("dt", { textContent: t(`inverter.${key}`) }), part.values[key]));
  }
  part.details.addEventListener("toggle", () => detail(part));
  return part;
}

function update(part, state, elapsed) {
  part.seen = state;
  part.elapsed = elapsed;
  const age = known(state.age_s) ? state.age_s + elapsed : null;
  const old = age === null || age > OLD_S || state.reachable === false;
  part.root.classList.toggle("stale", old);
  text(part.name, state.name);
  text(part.serial, state.serial);
  text(part.power, watts(state.power_w));
  const [word, tone] = condition(state);
  text(part.state, t(`inverter.${word}`)).dataset.tone = tone;
  drawBar(part, state);
  text(part.scale, scale(state));
  const confirmed = known(state.acked_w) && known(state.limit_w) && Math.abs(state.acked_w - state.limit_w) < 1;
  text(part.values.acked, known(state.acked_w) ? `${watts(state.acked_w)}${confirmed ? " ✓" : ""}` : UNKNOWN);
  text(part.values.temperature, unit(state.temperature_c, "°C"));
  text(part.values.today, energy(state.yield_day_wh));
  text(part.values.age, ago(age));
  text(part.values.guard, !state.enabled || !state.guardable ? UNKNOWN : state.guarded ? t("inverter.armed") : t("inverter.not_armed"));
  for (const key of ["acked", "guard"]) part.values[key].parentElement.hidden = Boolean(state.rule); // it has none of them
  const why = state.rule ? state.rule.refused || state.rule.waiting : null;
  joined(part.note, [{ controller: state.note }, { controller: why }, foreign(state, elapsed)]).hidden = !part.note.textContent;
  updatePanels(part.panels, state.panels);
  if (part.details.open) detail(part);
}

/** Everything else, once somebody wants to see it. */
async function detail(part) {
  const module = await import("./inverterdetail.js").catch(() => null); // nothing answers: the next status tries again
  module?.renderDetail(part.details, part.seen, part.elapsed);
}

function foreign(state, elapsed) {
  const age = known(state.foreign_age_s) ? state.foreign_age_s + elapsed : null;
  return state.foreign && age !== null && age < CONFLICT_S ? t("inverter.foreign", { ago: ago(age), command: state.foreign }) : null;
}

function condition(state) {
  if (!state.enabled) return ["shown", "calm"];
  if (state.reachable === false) return ["unreachable", "bad"];
  if (state.reachable === null) return ["unheard", "calm"];
  if (state.producing === false) return ["idle", "calm"];
  return [state.producing ? "producing" : "reachable", "good"];
}

function drawBar(part, state) {
  const share = (value) => `${Math.min(100, Math.max(0, (100 * value) / state.max_w))}%`;
  const ratio = known(state.max_w) && state.max_w > 0;
  part.fill.style.width = ratio && known(state.power_w) ? share(state.power_w) : "0";
  part.mark.hidden = !(ratio && known(state.limit_w));
  if (!part.mark.hidden) part.mark.style.left = share(state.limit_w);
  const values = { power: watts(state.power_w), limit: watts(state.limit_w), max: watts(state.max_w) };
  part.bar.setAttribute("aria-label", t("inverter.bar", values));
}

function scale(state) {
  const max = watts(state.max_w);
  if (!state.enabled) return t("inverter.scale_shown", { max });
  if (state.rule) return ruleText(state.rule, max);
  return known(state.limit_w) ? t("inverter.scale", { limit: watts(state.limit_w), max }) : t("inverter.scale_none", { max });
}

function ruleName(rule) {
  if (!rule) return UNKNOWN;
  if (!rule.produce) return t("rule.stopped");
  return known(rule.export_w) ? t("rule.export", { export: watts(rule.export_w) }) : t("rule.normal");
}

function ruleText(state, max) {
  const differs = state.wanted && JSON.stringify(state.wanted) !== JSON.stringify(state.accepted);
  const parts = [t("rule.now", { rule: ruleName(state.accepted ?? state.shown), max })];
  if (differs) parts.push(t("rule.wanted", { rule: ruleName(state.wanted) }));
  if (state.shown && state.accepted && JSON.stringify(state.shown) !== JSON.stringify(state.accepted)) {
    parts.push(t("rule.shown", { rule: ruleName(state.shown) }));
  }
  if (state.obeyed === false) parts.push(t("rule.disobeyed"));
  return parts.join("; ");
}

/** What an input is called. */
export const inputName = (panel) => panel.name || t("inverter.input", { channel: panel.channel });

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
    text(name, inputName(panel)).translate = !panel.name;
    text(power, watts(panel.power_w));
    meter.firstChild.style.width = known(panel.power_w) ? `${Math.max(0, (100 * panel.power_w) / most)}%` : "0";
  });
}
