// The page: listens to the event stream, and hands every status to the parts that show it.

import { askForToken } from "./api.js";
import { Controls } from "./controls.js";
import { byId, joined, text } from "./dom.js";
import { duration, known, watts } from "./format.js";
import { fill, offerOther, t } from "./i18n.js";
import { Override } from "./override.js";
import { Past } from "./past.js";
import { Price } from "./price.js";
import { Stream } from "./stream.js";
import { render } from "./view.js";

const SILENT_S = 10; // the stream brings a tick about every second
const AGAIN_S = 3;
const STALLED_S = 5;
const seconds = () => performance.now() / 1000;

let status = null;
let cameAt = 0;
let lostAt = null;
let stream = null;
let openedAt = 0;
let refused = null;
let barred = false;
let asked = false;

fill();
offerOther(byId("language"));
const past = new Past();
const parts = [new Controls(), new Override(), new Price()]; // and what is loaded once it is needed

// -- the stream ---------------------------------------------------------------------------------

function open() {
  stream?.close();
  openedAt = seconds();
  stream = new Stream("api/events", receive, ended);
}

function receive(data) {
  const first = status === null;
  const wasLost = lostAt !== null;
  status = data;
  cameAt = seconds();
  lostAt = refused = null;
  asked = false;
  show();
  past.show(status);
  if (first || wasLost) past.refresh();
  if (first) setTimeout(loadOthers, 0);
  else if (wasLost) refresh();
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
  const closed = stream?.closed && seconds() - openedAt > AGAIN_S;
  if (silent) lost();
  if (!document.hidden && !barred && (silent || closed)) open(); // a dead WiFi shows as silence, not as an error
  show();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream?.close(); // a page that nobody sees needs no stream, and spares the phone's battery
  } else if (!barred) {
    open();
    past.refresh();
    refresh();
  }
});
window.addEventListener("offline", lost);
window.addEventListener("online", () => barred || open());

// -- the parts that come later ------------------------------------------------------------------

const others = [
  async () => new (await import("./energy.js")).Energy(),
  async () => new (await import("./journal.js")).Journal(),
  async () => new (await import("./stores.js")).Stores(),
  async () => status.enphase && new (await import("./enphase.js")).Enphase(), // few houses have one
  async () => new (await import("./ensemble.js")).Ensemble(),
];

/** What is not needed for the first look; what cannot be fetched now is with the next connection. */
async function loadOthers() {
  for (const other of others.splice(0)) {
    const part = await other().catch(() => null);
    if (part) parts.push(part);
    else others.push(other);
    show();
  }
}

function refresh() {
  for (const part of parts) part.refresh?.();
  loadOthers();
}

// -- showing ------------------------------------------------------------------------------------

function show() {
  const elapsed = status ? seconds() - cameAt : 0;
  if (status) {
    const now = Date.parse(status.time_utc) / 1000 + (status.ages.tick_s ?? 0) + elapsed; // by the controller's clock
    render(status, elapsed);
    for (const part of parts) part.show(status, elapsed, now);
  }
  const gone = lostAt !== null;
  document.body.classList.toggle("lost", gone);
  byId("banner").hidden = !gone;
  if (gone) complain(elapsed);
  const stalled = status && (status.ages.tick_s === null || status.ages.tick_s + elapsed > STALLED_S);
  const state = gone ? "lost" : !status || stalled ? "waiting" : "live";
  byId("live").dataset.state = state;
  text("live-text", t(state === "waiting" && !status ? "live.connecting" : `live.${state}`));
  const grid = status && known(status.grid_w) && !gone ? watts(status.grid_w) : null;
  document.title = [grid, t("title")].filter(Boolean).join(" · ");
}

/** What is wrong is said once; how old the values are changes all the time, and is only shown. */
function complain(elapsed) {
  const words = refused?.locked ? t("lost.locked") : refused ? t("lost.refused") : t("lost");
  joined("banner-text", [words, refused && !refused.locked ? (refused.controller ? { controller: refused.error } : refused.error) : null]);
  text("banner-age", status ? t("lost.age", { time: duration(elapsed) }) : "");
}

setInterval(watch, 1000);
open();
show();
