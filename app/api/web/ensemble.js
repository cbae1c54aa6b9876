// Storage, relays and dry contacts behind an Enphase gateway: what they are, in a card that is only there with one.

import { byId, element, joined } from "./dom.js";
import { UNKNOWN, ago, energy, known, unit, watts } from "./format.js";
import { has, t } from "./i18n.js";

const FIGURES = ["charge", "power", "mode", "reserve", "from_grid", "grid", "collar", "combiner"];
const percent = (value) => unit(value, "%", 0);
const word = (key, value) => (value == null ? UNKNOWN : has(`ensemble.${key}.${value}`) ? t(`ensemble.${key}.${value}`) : { controller: value });

export class Ensemble {
  #box = byId("ensemble");

  show({ ensemble }, elapsed) {
    this.#box.hidden = !ensemble;
    if (!ensemble) return;
    if (!this.#box.firstChild) build(this.#box);
    for (const key of FIGURES) figure(key, ensemble);
    byId("ensemble-ignored").hidden = !ensemble.optimised_schedules;
    list("ensemble-batteries", ensemble.batteries.map(battery));
    list("ensemble-contacts", ensemble.dry_contacts.map(contact));
    const age = known(ensemble.age_s) ? t("ensemble.told", { ago: ago(ensemble.age_s + elapsed) }) : t("ensemble.unheard");
    joined("ensemble-age", [{ controller: ensemble.name }, age, { controller: ensemble.fault }]);
  }
}

const VALUES = {
  charge: (all) => [percent(all.soc_pct), known(all.capacity_wh) ? t("ensemble.of", { energy: energy(all.capacity_wh) }) : null],
  power: (all) => [power(all.power_w)],
  mode: (all) => [word("mode", all.storage_mode)],
  reserve: (all) => [percent(all.reserve_soc_pct)],
  from_grid: (all) => [word("switch", all.charge_from_grid)],
  grid: (all) => all.grid && [word("grid", all.grid.oper_state)],
  collar: (all) => all.collar && [word("collar", all.collar.mid_state)],
  combiner: (all) => all.combiner && [word("combiner", all.combiner.state)],
};

function figure(key, all) {
  const parts = VALUES[key](all);
  byId(`ensemble-${key}`).parentNode.hidden = !parts;
  if (parts) joined(`ensemble-${key}`, parts);
}

function power(value) {
  if (!known(value)) return UNKNOWN;
  const way = Math.round(value) > 0 ? "charging" : Math.round(value) < 0 ? "giving" : "idle";
  return t(`ensemble.${way}`, { power: watts(Math.abs(value)) });
}

const battery = (one) => [{ controller: one.serial }, percent(one.soc_pct), power(one.power_w), one.sleep ? word("sleep", one.sleep) : null];
const contact = (one) => [t("ensemble.contact", { name: one.settings?.load_name || one.id }), word("contact", one.status)];

function list(id, lines) {
  const box = byId(id);
  while (box.children.length > lines.length) box.lastChild.remove();
  while (box.children.length < lines.length) box.append(element("li"));
  lines.forEach((line, index) => joined(box.children[index], line));
}

function build(box) {
  const figures = FIGURES.map((key) => element("div", {}, element("dt", { textContent: t(`ensemble.${key}`) }), element("dd", { id: `ensemble-${key}` })));
  const lines = ["batteries", "contacts"].map((key) => element("ul", { id: `ensemble-${key}`, className: "gateways small" }));
  box.append(
    element("h2", { id: "ensemble-title", textContent: t("ensemble") }),
    element("dl", { className: "figures" }, ...figures),
    element("p", { id: "ensemble-ignored", className: "small", textContent: t("ensemble.ignored") }),
    ...lines,
    element("p", { id: "ensemble-age", className: "muted small" }),
  );
}
