// Values as people read them, in their language. What is unknown is a dash, never 0.

import { locale, t } from "./i18n.js";

export const UNKNOWN = "–";
const made = new Map();

export const known = (value) => typeof value === "number" && Number.isFinite(value);

/** A number with a true minus sign, of at most ``most`` digits behind the point, and at least ``least``. */
export function decimal(value, most = 0, least = 0) {
  const key = `${least}.${most}`;
  if (!made.has(key)) made.set(key, new Intl.NumberFormat(locale, { minimumFractionDigits: least, maximumFractionDigits: most }));
  const shown = made.get(key).format(Math.abs(value));
  return value < 0 && /[1-9]/.test(shown) ? `−${shown}` : shown;
}

export const rounded = (value) => (known(value) ? decimal(Math.round(value)) : UNKNOWN);
export const watts = (value) => (known(value) ? `${rounded(value)} W` : UNKNOWN);
export const percent = (share) => (known(share) ? `${decimal(100 * share)} %` : UNKNOWN);

export function energy(wh) {
  if (!known(wh)) return UNKNOWN;
  if (wh < 1000) return `${decimal(wh)} Wh`;
  return `${decimal(wh / 1000, wh < 100_000 ? 2 : 0)} kWh`;
}

/** An energy that is estimated: two digits are all that is known. */
export const roughly = (wh) => energy(known(wh) ? Number(wh.toPrecision(2)) : wh);

export const unit = (value, name, digits = 1) => (known(value) ? `${decimal(value, digits, digits)} ${name}` : UNKNOWN);

export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 90) return `${decimal(Math.floor(seconds))} s`;
  if (seconds < 5400) return `${decimal(seconds / 60)} min`;
  if (seconds < 172800) return `${decimal(seconds / 3600)} h`;
  return t("days", { count: decimal(seconds / 86400) });
}

export const ago = (seconds) => (known(seconds) ? t("ago", { time: duration(seconds) }) : UNKNOWN);

const formatted = (options) => {
  const format = new Intl.DateTimeFormat(locale, options);
  return (time) => (Number.isNaN(Number(new Date(time))) ? UNKNOWN : format.format(new Date(time)));
};

/** Of an ISO date, a Date or milliseconds. */
export const clock = formatted({ hour: "2-digit", minute: "2-digit" });
export const clockWithSeconds = formatted({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const date = formatted({ day: "numeric", month: "short", year: "numeric" });
export const day = formatted({ day: "numeric", month: "short" });
export const weekday = formatted({ weekday: "short" });
export const month = formatted({ month: "short", year: "2-digit" });
export const moment = formatted({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** The first letter large: the controller writes its reasons small. */
export const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);

const LEAST_C = 0.5; // less money than that is not worth a word
const currencies = new Map();

/** Hundredths of a currency, as people write it. */
function money(value, currency) {
  if (!currencies.has(currency)) {
    let format = { format: (amount) => `${decimal(amount, 2, 2)} ${currency}` }; // whatever the configuration calls it
    try {
      format = new Intl.NumberFormat(locale, { style: "currency", currency });
    } catch {
      // no ISO 4217 code
    }
    currencies.set(currency, format);
  }
  return currencies.get(currency).format(value / 100);
}

/** Money in words: gained, or else cost; null where there is none to speak of. */
export function worth(gained, value, currency) {
  if (!known(value) || !currency || Math.abs(value) < LEAST_C) return null;
  return t(`energy.${value < 0 ? "cost" : gained}`, { money: money(Math.abs(value), currency) });
}
