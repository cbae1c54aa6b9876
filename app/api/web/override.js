// Deciding instead of the price, for a while.

import { change } from "./api.js";
import { byId, press, say, text } from "./dom.js";
import { clock, duration } from "./format.js";
import { t } from "./i18n.js";

const buttons = document.querySelectorAll("[data-override]");

/** The override that is in force; its end may come before the controller says so. */
export function overrideOf({ override }, now) {
  return override && Date.parse(override.until_utc) / 1000 > now ? override : null;
}

export class Override {
  #status = null;
  #now = 0;
  #busy = false;
  #decided = "null";

  constructor() {
    for (const button of buttons) button.addEventListener("click", () => this.#decide(button.dataset.override));
    byId("override-for").addEventListener("change", () => {
      const override = this.#status && overrideOf(this.#status, this.#now);
      if (override) this.#decide(override.mode);
    });
    byId("override-cancel").addEventListener("click", () => {
      byId("override-auto").focus(); // the button that has the focus is about to go
      this.#decide("auto");
    });
  }

  /** ``now``: by the controller's clock, in seconds. */
  show(status, _elapsed, now) {
    this.#status = status;
    this.#now = now;
    const priced = Boolean(status.price);
    byId("by-hand").hidden = priced;
    const place = byId(priced ? "price-override" : "by-hand");
    if (byId("override").parentElement !== place) place.append(byId("override"));
    this.#render(overrideOf(status, now), priced);
  }

  #render(override, priced) {
    const decided = JSON.stringify(override);
    if (decided !== this.#decided) say("override-message", ""); // what was said of it is no longer so
    this.#decided = decided;
    const mode = override?.mode ?? "auto";
    press(buttons, (button) => button.dataset.override === mode);
    byId("override-limit").hidden = !priced && mode !== "limit";
    const next = byId("override-next");
    next.hidden = next.disabled = !this.#status.price?.valid_until_utc;
    if (next.disabled && next.selected) byId("override-for").value = "60";
    byId("override-running").hidden = !override;
    byId("override-waiting").hidden = Boolean(override);
    text("override-waiting", automatic(priced));
    if (!override) return;
    byId("by-hand").open = true;
    const left = Date.parse(override.until_utc) / 1000 - this.#now;
    text("override-text", t("override.running", { mode: t(`gate.${mode}`), until: clock(override.until_utc), left: duration(left) }));
  }

  async #decide(mode) {
    if (!this.#status || this.#busy) return;
    this.#busy = true;
    say("override-message", "");
    const chosen = byId("override-for").value;
    const until = chosen === "next_price" ? { until: chosen } : { minutes: Number(chosen) };
    try {
      const { override } = await change(mode === "auto" ? { mode } : { mode, ...until }, "api/override");
      this.#status.override = override;
      this.#decided = JSON.stringify(override);
      const priced = Boolean(this.#status.price);
      const done = override && t("override.done", { mode: t(`gate.${override.mode}`), until: clock(override.until_utc) });
      say("override-message", done ?? automatic(priced), "good");
      this.#render(overrideOf(this.#status, this.#now), priced);
    } catch (error) {
      say("override-message", error.message, "bad", error.controller);
    } finally {
      this.#busy = false;
    }
  }
}

const automatic = (priced) => t(priced ? "override.price_decides" : "override.target_held");
