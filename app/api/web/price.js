// The price: what it is, and what it makes the inverters do.

import { look } from "./api.js";
import { byId, joined, text } from "./dom.js";
import { clock, duration, known, sentence } from "./format.js";
import { t } from "./i18n.js";
import { overrideOf } from "./override.js";
import { PriceChart, cents } from "./pricechart.js";

const FRESH_S = 300; // prices ahead change without a change of the price now
const RETRY_S = 10;
const TONES = { limit: "calm", open: "good", shutdown: "warn" };

export class Price {
  #now = 0; // of the controller's clock, in seconds: the one that the prices are for
  #shown = "";
  #askAfter = 0;
  #chart = new PriceChart(byId("price-chart"));

  show(status, _elapsed, now) {
    this.#now = now;
    byId("price-card").hidden = !status.price;
    if (!status.price) return;
    const override = overrideOf(status, now);
    renderPrice(status.price);
    renderGate(status, override, now);
    this.#refresh(status);
    this.#chart.show(now, override);
  }

  /** Ask again, whatever is known. */
  refresh() {
    this.#shown = "";
  }

  async #refresh({ price, gate }) {
    const shown = JSON.stringify([price, gate?.mode]);
    if (document.hidden || (shown === this.#shown && this.#now < this.#askAfter)) return;
    this.#shown = shown;
    this.#askAfter = this.#now + FRESH_S;
    const { data } = await look("api/prices");
    if (data) this.#chart.load(data);
    else this.#askAfter = this.#now + RETRY_S;
  }
}

function renderPrice(price) {
  const { export_value_c: sell, import_price_c: buy } = price;
  text("price-label", t(sell < 0 ? "price.sell_costs" : "price.sell_earns"));
  text("price", cents(sell)).dataset.tone = sell < 0 ? "bad" : "";
  byId("import-box").hidden = !known(buy);
  text("import-label", t(buy < 0 ? "price.buy_earns" : "price.buy_costs"));
  text("import-price", cents(buy));
  const sure = t(!known(sell) ? "price.unknown" : price.estimated ? "price.estimate" : "price.confirmed");
  const until = price.valid_until_utc ? t("price.until", { time: clock(price.valid_until_utc) }) : null;
  joined("price-text", [sure, until, { controller: price.fault }]);
}

function renderGate({ gate, enabled, mode }, override, now) {
  byId("gate").hidden = byId("gate-box").hidden = !gate;
  if (!gate) return;
  text("gate", t(`gate.${gate.mode}`)).dataset.tone = TONES[gate.mode] ?? "calm";
  const byHand = gate.by_hand && override;
  joined("gate-reason", [byHand ? t("gate.by_hand", { time: clock(override.until_utc) }) : { controller: sentence(gate.reason) }]);
  const age = now - Date.parse(gate.since_utc) / 1000;
  const since = known(age) ? t("gate.since", { time: clock(gate.since_utc), duration: duration(Math.max(0, age)) }) : null;
  const overruled = enabled === "off" ? t("gate.paused") : mode === "fail_safe" ? t("gate.fail_safe") : null;
  text("gate-since", [since, overruled].filter(Boolean).join(" · "));
}
