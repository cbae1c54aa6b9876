// From a status to what is at the top of the page. Nothing here asks or keeps anything.

import { byId, element, joined, text } from "./dom.js";
import { UNKNOWN, ago, clock, date, decimal, duration, energy, known, percent, rounded, sentence, unit, watts } from "./format.js";
import { has, t } from "./i18n.js";
import { renderInverters } from "./inverters.js";

const FLOWING_W = 3;
const STALLED_S = 5;
const TONES = { limit: "good", open: "good", shutdown: "warn", paused: "warn", hold: "warn", fail_safe: "bad", stalled: "bad" };

/** Show a status; ``elapsed`` seconds have passed since it came. */
export function render(status, elapsed) {
  renderHeader(status);
  renderGrid(status, elapsed);
  renderFlow(status);
  renderFigures(status, elapsed);
  renderExcursions(status.excursions);
  renderBattery(status.battery, elapsed);
  renderFaults(status, elapsed);
  renderInverters(status.inverters, elapsed);
  renderGateways(status.gateways, elapsed);
}

function renderHeader(status) {
  const mode = status.ages.tick_s > STALLED_S ? "stalled" : status.mode;
  text("site", status.site);
  text("version", t("version", { version: status.version }));
  text("mode", has(`mode.${mode}`) ? t(`mode.${mode}`) : mode).dataset.tone = TONES[mode] ?? "calm";
  text("mode-text", meaning(mode, status));
  text("reason", sentence(status.reason));
  byId("dry-run").hidden = !status.dry_run;
}

function meaning(mode, status) {
  const byHand = status.gate?.by_hand && mode === status.gate.mode;
  const capped = (mode === "open" || mode === "paused") && known(status.target_w);
  const key = `meaning.${mode}${byHand ? ".by_hand" : ""}${capped ? ".capped" : ""}`;
  return has(key) ? t(key) : "";
}

function renderGrid(status, elapsed) {
  const grid = status.grid_w;
  const way = !known(grid) ? "unknown" : Math.round(grid) > 0 ? "import" : Math.round(grid) < 0 ? "export" : "balanced";
  const large = known(grid) && Math.abs(grid) >= 9999.5;
  text("grid", !known(grid) ? UNKNOWN : large ? decimal(Math.abs(grid) / 1000, 1, 1) : rounded(Math.abs(grid)));
  text("grid-unit", large ? "kW" : "W");
  text("grid-word", t(`grid.${way}`));
  const box = byId("grid-now");
  box.dataset.flow = way;
  const meter = status.meter;
  const late = meter && known(meter.age_s) && meter.age_s + elapsed > Math.max(5, 3 * (meter.interval_s ?? 1));
  box.classList.toggle("stale", Boolean(late));
}

function renderFlow(status) {
  const grid = watts(known(status.grid_w) ? Math.abs(status.grid_w) : null);
  text("pv", watts(status.pv_w));
  text("pv-limit", known(status.limit_w) ? t("flow.limit", { limit: watts(status.limit_w) }) : "");
  text("load", watts(status.load_w));
  text("grid-flow", grid);
  stream("flow-pv", status.pv_w, 1);
  stream("flow-grid", status.grid_w, -1);
  const way = !known(status.grid_w) ? "unknown" : status.grid_w >= 0 ? "taken" : "given";
  text("flow-text", t(`flow.${way}`, { sun: watts(status.pv_w), load: watts(status.load_w), grid }));
}

function stream(id, power, direction) {
  const path = byId(id);
  const flows = known(power) && Math.abs(power) >= FLOWING_W;
  path.classList.toggle("on", flows);
  path.classList.toggle("back", flows && power * direction < 0);
  path.classList.toggle("export", id === "flow-grid" && flows && power < 0);
  if (flows) path.style.animationDuration = `${Math.min(4, Math.max(0.7, 4 - Math.log10(Math.abs(power))))}s`;
}

function renderFigures(status, elapsed) {
  text("limit", watts(status.limit_w));
  text("target-now", watts(status.target_w));
  const age = status.meter?.age_s;
  text("meter-age", known(age) ? unit(age + elapsed, "s") : UNKNOWN);
  const phases = (status.meter?.phases ?? []).map((phase, index) => `L${index + 1} ${watts(phase.power_w)}`);
  text("phases", phases.length > 1 ? t("phases", { phases: phases.join(" · ") }) : "");
}

/** The account of exports beyond what is allowed; a dry run has none. */
function renderExcursions(account) {
  byId("excursion-box").hidden = !account;
  if (!account) return;
  const now = known(account.current_s) && account.current_s >= account.longer_s;
  const worst = account.today ? `${duration(account.longest_today_s)} · ${watts(account.worst_today_w)}` : t("none");
  text("excursion-label", t(now ? "excursion.now" : "excursion.today"));
  text("excursion", now ? `${duration(account.current_s)} · ${watts(account.last?.worst_w)}` : worst).dataset.tone = now ? "bad" : "";
  const parts = [t("excursion.count", { today: account.today, total: account.total, since: date(account.since) })];
  parts.push(t("excursion.beyond", { energy: energy(account.beyond_today_wh) }));
  if (account.unknown_today_s >= 1) parts.push(t("excursion.unknown", { time: duration(account.unknown_today_s) }));
  const rule = t("excursion.rule", { over: watts(account.over_w), time: duration(account.longer_s) });
  text("excursion-text", `${rule} ${parts.join(" · ")}`);
}

function renderBattery(battery, elapsed) {
  byId("battery-card").hidden = !battery;
  if (!battery) return;
  const power = battery.power_w;
  const way = !known(power) ? "power" : Math.round(power) > 0 ? "charging" : Math.round(power) < 0 ? "discharging" : "idle";
  text("battery-charge", known(battery.soc_pct) ? percent(battery.soc_pct / 100) : UNKNOWN);
  text("battery-way", t(`battery.${way}`));
  text("battery-power", watts(known(power) ? Math.abs(power) : null));
  text("battery-age", known(battery.age_s) ? duration(battery.age_s + elapsed) : UNKNOWN);
  joined("battery-text", [{ controller: battery.name }, { controller: battery.fault }]);
}

function renderFaults(status, elapsed) {
  const list = byId("faults");
  const now = Date.parse(status.time_utc) + 1000 * (elapsed + (status.ages.tick_s ?? 0));
  const wanted = new Map(status.faults.map((fault) => [fault.key, fault]));
  for (const item of [...list.children]) if (!wanted.has(item.dataset.key)) item.remove();
  for (const fault of status.faults) {
    let item = [...list.children].find((child) => child.dataset.key === fault.key);
    if (!item) {
      const words = ["strong", ""].map((className) => element("p", { className, lang: "en" }));
      item = element("li", { className: "fault" }, ...words, element("p", { className: "small since" }));
      item.lastChild.setAttribute("aria-live", "off"); // its age changes all the time
      item.dataset.key = fault.key;
      list.append(item);
    }
    const [what, next, since] = item.children;
    text(what, fault.text);
    text(next, fault.next_step);
    const age = (now - Date.parse(fault.since)) / 1000;
    const lasts = { time: (age < 86400 ? clock : date)(fault.since), duration: duration(Math.max(0, age)) };
    joined(since, [{ controller: fault.key }, known(age) ? t("fault.since", lasts) : null]);
  }
}

function renderGateways(gateways, elapsed) {
  const list = byId("gateways");
  while (list.children.length > gateways.length) list.lastChild.remove();
  while (list.children.length < gateways.length) list.append(element("li"));
  gateways.forEach((gateway, index) => {
    const word = t(gateway.online === null ? "gateway.unheard" : gateway.online ? "gateway.online" : "gateway.offline");
    const age = known(gateway.age_s) ? t("gateway.heard", { ago: ago(gateway.age_s + elapsed) }) : null;
    const signal = known(gateway.rssi_dbm) ? t("gateway.wifi", { signal: unit(gateway.rssi_dbm, "dBm", 0) }) : null;
    joined(list.children[index], [{ controller: gateway.name }, word, age, signal, { controller: gateway.fault }]);
  });
}
