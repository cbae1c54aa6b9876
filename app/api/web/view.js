// From a status to what is on the page. Nothing here asks or keeps anything.

import { UNKNOWN, clock, date, duration, element, energy, known, rounded, text, unit, watts } from "./format.js";
import { renderInverters } from "./inverters.js";

const FLOWING_W = 3;
const STALLED_S = 5;
const MODES = {
  starting: ["Starting", "calm", "Getting to know the plant."],
  limit: ["Limiting", "good", "The inverters follow what the house takes."],
  open: ["Open", "good", "Export is allowed: the inverters run free."],
  shutdown: ["Closed", "warn", "Export costs money: the inverters are closed."],
  paused: ["Paused", "warn", "The inverters run free; the house may export."],
  hold: ["Holding", "warn", "The meter is late: limits are not raised."],
  fail_safe: ["Fail-safe", "bad", "The grid power is unknown: the inverters are lowered."],
  night: ["Night", "calm", "No inverter is awake."],
  stalled: ["Stalled", "bad", "The control loop stands still: nothing is regulated."],
};
const BY_HAND = {
  limit: "Somebody chose to hold the target for a while.",
  open: "Somebody chose to export for a while: the inverters run free.",
};

/** Show a status; ``elapsed`` seconds have passed since it came. */
export function render(status, elapsed) {
  renderHeader(status);
  renderGrid(status, elapsed);
  renderFlow(status);
  renderFigures(status, elapsed);
  renderExcursions(status.excursions);
  renderFaults(status, elapsed);
  renderInverters(status.inverters, elapsed);
  renderGateways(status.gateways, elapsed);
}

function renderHeader(status) {
  const mode = status.ages.tick_s > STALLED_S ? "stalled" : status.mode;
  const [name, tone, meaning] = MODES[mode] ?? [mode, "calm", ""];
  text("site", status.site);
  text("version", `Version ${status.version}`);
  text("mode", name).dataset.tone = tone;
  const said = status.gate?.by_hand && mode === status.gate.mode ? BY_HAND[mode] : meaning;
  const capped = (mode === "open" || mode === "paused") && known(status.target_w);
  text("mode-text", capped ? said.replace("run free", "run up to the grid operator's cap") : said);
  text("reason", status.reason.charAt(0).toUpperCase() + status.reason.slice(1));
  document.getElementById("dry-run").hidden = !status.dry_run;
}

function renderGrid(status, elapsed) {
  const grid = status.grid_w;
  const way = !known(grid) ? "unknown" : Math.round(grid) > 0 ? "import" : Math.round(grid) < 0 ? "export" : "balanced";
  const words = { unknown: "Unknown", import: "Importing from the grid", export: "Exporting to the grid", balanced: "Balanced" };
  const large = known(grid) && Math.abs(grid) >= 9999.5;
  text("grid", !known(grid) ? UNKNOWN : large ? (Math.abs(grid) / 1000).toFixed(1) : rounded(Math.abs(grid)));
  text("grid-unit", large ? "kW" : "W");
  text("grid-word", words[way]);
  const box = document.getElementById("grid-now");
  box.dataset.flow = way;
  const meter = status.meter;
  const late = meter && known(meter.age_s) && meter.age_s + elapsed > Math.max(5, 3 * (meter.interval_s ?? 1));
  box.classList.toggle("stale", Boolean(late));
}

function renderFlow(status) {
  text("pv", watts(status.pv_w));
  text("pv-limit", known(status.limit_w) ? `limit ${watts(status.limit_w)}` : "");
  text("load", watts(status.load_w));
  text("grid-flow", watts(known(status.grid_w) ? Math.abs(status.grid_w) : null));
  stream("flow-pv", status.pv_w, 1);
  stream("flow-grid", status.grid_w, -1);
  const way = !known(status.grid_w) ? "unknown" : status.grid_w >= 0 ? "taken from the grid" : "given to the grid";
  text("flow-text", `Sun ${watts(status.pv_w)}, household ${watts(status.load_w)}, ${watts(Math.abs(status.grid_w ?? NaN))} ${way}`);
}

function stream(id, power, direction) {
  const path = document.getElementById(id);
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
  const phases = status.meter?.phases ?? [];
  text("phases", phases.length > 1 ? `Phases: ${phases.map((phase, index) => `L${index + 1} ${watts(phase.power_w)}`).join(" · ")}` : "");
}

/** The account of exports beyond what is allowed; a dry run has none. */
function renderExcursions(account) {
  document.getElementById("excursion-box").hidden = !account;
  if (!account) return;
  const now = known(account.current_s) && account.current_s >= account.longer_s;
  const worst = account.today ? `${duration(account.longest_today_s)} · ${watts(account.worst_today_w)}` : "None";
  text("excursion-label", now ? "Excursion now" : "Worst excursion today");
  text("excursion", now ? `${duration(account.current_s)} · ${watts(account.last?.worst_w)}` : worst).dataset.tone = now ? "bad" : "";
  const parts = [`${account.today} today, ${account.total} since ${date(account.since)}`];
  parts.push(`${energy(account.beyond_today_wh)} beyond what is allowed today`);
  if (account.unknown_today_s >= 1) parts.push(`grid unknown for ${duration(account.unknown_today_s)} today`);
  text("excursion-text", `More than ${watts(account.over_w)} too much for ${duration(account.longer_s)}: ${parts.join(" · ")}`);
}

function renderFaults(status, elapsed) {
  const list = document.getElementById("faults");
  const now = Date.parse(status.time_utc) + 1000 * (elapsed + (status.ages.tick_s ?? 0));
  const wanted = new Map(status.faults.map((fault) => [fault.key, fault]));
  for (const item of [...list.children]) if (!wanted.has(item.dataset.key)) item.remove();
  for (const fault of status.faults) {
    let item = [...list.children].find((child) => child.dataset.key === fault.key);
    if (!item) {
      item = element("li", { className: "fault" }, element("p", { className: "strong" }), element("p"), element("p", { className: "small since" }));
      item.lastChild.setAttribute("aria-live", "off"); // its age changes all the time
      item.dataset.key = fault.key;
      list.append(item);
    }
    const [what, next, since] = item.children;
    text(what, fault.text);
    text(next, fault.next_step);
    const age = (now - Date.parse(fault.since)) / 1000;
    const lasts = known(age) ? ` · since ${(age < 86400 ? clock : date)(fault.since)} (${duration(Math.max(0, age))})` : "";
    text(since, `${fault.key}${lasts}`);
  }
}

function renderGateways(gateways, elapsed) {
  const list = document.getElementById("gateways");
  list.replaceChildren(...gateways.map((gateway) => {
    const word = gateway.online === null ? "not heard yet" : gateway.online ? "online" : "offline";
    const age = known(gateway.age_s) ? `heard ${duration(gateway.age_s + elapsed)} ago` : null;
    const signal = known(gateway.rssi_dbm) ? `WiFi ${rounded(gateway.rssi_dbm)} dBm` : null;
    return element("li", { textContent: [`${gateway.name}: ${word}`, age, signal, gateway.fault].filter(Boolean).join(" · ") });
  }));
}
