// The page: listens to the event stream, shows every tick, and sends what people change.

import { askForToken, change, request } from "./api.js";
import { Chart } from "./chart.js";
import { duration, known, text, watts } from "./format.js";
import { Price } from "./price.js";
import { Stream } from "./stream.js";
import { render } from "./view.js";

const SILENT_S = 10; // the stream brings a tick about every second
const byId = (id) => document.getElementById(id);
const seconds = () => performance.now() / 1000;

let status = null;
let cameAt = 0;
let lostAt = null;
let stream = null;
let openedAt = 0;
let refused = null;
let barred = false;
let asked = false;
let busy = false;
let dirty = false;

const chart = new Chart(byId("plot"), byId("legend"), byId("chart-note"));
const price = new Price();

// -- the stream ---------------------------------------------------------------------------------

function open() {
  stream?.close();
  openedAt = seconds();
  stream = new Stream("api/events", receive, ended);
}

function receive(data) {
  const wasLost = lostAt !== null && seconds() - lostAt > 5;
  const first = status === null;
  status = data;
  cameAt = seconds();
  lostAt = refused = null;
  asked = false;
  show();
  chart.push(status);
  if (first || wasLost) loadHistory();
}

async function ended(why) {
  refused = why;
  lost();
  if (!why?.locked || document.hidden) return;
  barred = true; // until somebody gives a token there is nothing to try
  if (!(await askForToken("look", asked))) return;
  barred = false;
  asked = true;
  open();
}

function lost() {
  lostAt ??= seconds();
  show();
}

function watch() {
  const silent = seconds() - Math.max(cameAt, openedAt) > SILENT_S;
  const closed = stream?.closed && seconds() - openedAt > 3;
  if (silent) lost();
  if (!document.hidden && !barred && (silent || closed)) open(); // a dead WiFi shows as silence, not as an error
  show();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream?.close(); // a page that nobody sees needs no stream, and spares the phone's battery
  } else if (!barred) {
    open();
    loadHistory();
  }
});

// -- showing ------------------------------------------------------------------------------------

function show() {
  const elapsed = status ? seconds() - cameAt : 0;
  if (status) {
    render(status, elapsed);
    price.show(status, elapsed);
    showControls();
  }
  const gone = lostAt !== null && seconds() - lostAt > 1.5;
  document.body.classList.toggle("lost", gone);
  byId("banner").hidden = !gone;
  if (gone) text("banner", trouble(elapsed));
  const stalled = status && known(status.ages.tick_s) && status.ages.tick_s + elapsed > 5;
  const state = gone ? "lost" : !status ? "waiting" : stalled || status.ages.tick_s === null ? "waiting" : "live";
  byId("live").dataset.state = state;
  text("live-text", { lost: "Offline", waiting: status ? "Waiting" : "Connecting", live: "Live" }[state]);
  document.title = status && known(status.grid_w) && !gone ? `${watts(status.grid_w)} · Zero export` : "Zero export";
}

function trouble(elapsed) {
  if (refused?.locked) return "Nothing is shown without the token: load this page again to give it.";
  const values = status ? `; the values are ${duration(elapsed)} old` : "";
  return refused ? `The controller refuses${values}: ${refused.error}` : `Connection lost${values}. Trying again…`;
}

function showControls() {
  const on = status.enabled === "on";
  const button = byId("switch");
  if (!busy) {
    button.setAttribute("aria-checked", String(on));
    button.disabled = byId("target").disabled = false;
  }
  const held = status.price ? "On: the price decides" : "On: export is held back";
  text("switch-text", on ? held : "Paused: the inverters run free");
  if (!dirty) byId("target").value = status.target_point_w;
  byId("save").disabled = busy || !dirty;
}

// -- changing -----------------------------------------------------------------------------------

async function apply(settings, done) {
  busy = true;
  text("message", "");
  try {
    const now = await change(settings);
    Object.assign(status, now);
    dirty = dirty && settings.target_point_w === undefined;
    text("message", done(now)).dataset.tone = "good";
  } catch (error) {
    text("message", error.message).dataset.tone = "bad";
  } finally {
    busy = false;
    show();
  }
}

byId("switch").addEventListener("click", () => {
  const wanted = byId("switch").getAttribute("aria-checked") !== "true";
  byId("switch").setAttribute("aria-checked", String(wanted));
  apply({ enabled: wanted }, (now) => (now.enabled === "on" ? "Zero export is on." : "Zero export is paused."));
});

byId("target").addEventListener("input", () => {
  dirty = true;
  showControls();
});

for (const [id, step] of [["less", -5], ["more", 5]]) {
  byId(id).addEventListener("click", () => {
    if (!status) return;
    byId("target").value = (Number(byId("target").value) || 0) + step;
    dirty = true;
    showControls();
  });
}

byId("target-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("target");
  if (!status || field.value === "" || !known(field.valueAsNumber)) {
    text("message", "The target is not a number of watts.").dataset.tone = "bad";
    return;
  }
  apply({ target_point_w: field.valueAsNumber }, (now) => `The target is ${watts(now.target_point_w)} now.`);
});

// -- the chart's past ---------------------------------------------------------------------------

async function loadHistory() {
  try {
    const answer = await request("GET", `api/history?seconds=${chart.span}`);
    if (answer.ok) chart.load(answer.data);
    if (answer.status === 503) setTimeout(loadHistory, 2000); // others are looking
  } catch {
    // the stream tells that nothing answers
  }
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("[data-span]")) other.setAttribute("aria-pressed", String(other === button));
    const names = { 900: "Last 15 minutes", 3600: "Last hour", 21600: "Last 6 hours", 86400: "Last 24 hours" };
    text("chart-title", names[button.dataset.span]);
    chart.setSpan(Number(button.dataset.span));
    loadHistory();
  });
}

setInterval(watch, 1000);
open();
