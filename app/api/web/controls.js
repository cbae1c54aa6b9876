// The switch and the target: what people change, and what came of it.

import { change } from "./api.js";
import { byId, say, text } from "./dom.js";
import { known, watts } from "./format.js";
import { t } from "./i18n.js";

export class Controls {
  #status = null;
  #busy = false;
  #dirty = false; // somebody is at the target: it is theirs until it is saved

  constructor() {
    byId("switch").addEventListener("click", () => this.#flip());
    byId("target").addEventListener("input", () => this.#edited());
    for (const [id, step] of [["less", -5], ["more", 5]]) byId(id).addEventListener("click", () => this.#step(step));
    byId("target-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
  }

  show(status) {
    this.#status = status;
    const on = status.enabled === "on";
    if (!this.#busy) {
      byId("switch").setAttribute("aria-checked", String(on));
      byId("switch").disabled = byId("target").disabled = false;
    }
    text("switch-text", t(!on ? "switch.off" : status.price ? "switch.priced" : "switch.on"));
    if (!this.#dirty) byId("target").value = status.target_point_w;
    byId("save").disabled = this.#busy || !this.#dirty;
  }

  #flip() {
    const wanted = byId("switch").getAttribute("aria-checked") !== "true";
    byId("switch").setAttribute("aria-checked", String(wanted));
    this.#apply({ enabled: wanted }, (now) => t(now.enabled === "on" ? "switch.done_on" : "switch.done_off"));
  }

  #step(watts) {
    if (!this.#status) return;
    byId("target").value = (Number(byId("target").value) || 0) + watts;
    this.#edited();
  }

  #edited() {
    this.#dirty = true;
    if (this.#status) this.show(this.#status);
  }

  #save() {
    const field = byId("target");
    if (!this.#status || field.value === "" || !known(field.valueAsNumber)) return say("message", t("target.bad"), "bad");
    return this.#apply({ target_point_w: field.valueAsNumber }, (now) => t("target.done", { target: watts(now.target_point_w) }));
  }

  async #apply(settings, done) {
    this.#busy = true;
    say("message", "");
    try {
      const now = await change(settings);
      Object.assign(this.#status, now);
      this.#dirty = this.#dirty && settings.target_point_w === undefined;
      say("message", done(now), "good");
    } catch (error) {
      say("message", error.message, "bad", error.controller);
    } finally {
      this.#busy = false;
      if (this.#status) this.show(this.#status);
    }
  }
}
