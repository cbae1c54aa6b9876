// Values as people read them. What is unknown is a dash, never 0.

export const UNKNOWN = "–";
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const some = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });

export const known = (value) => typeof value === "number" && Number.isFinite(value);

/** A whole number with a true minus sign. */
export function rounded(value) {
  if (!known(value)) return UNKNOWN;
  const near = Math.round(value);
  return near < 0 ? `−${whole.format(-near)}` : whole.format(Math.abs(near));
}

export const watts = (value) => (known(value) ? `${rounded(value)} W` : UNKNOWN);

export function energy(wh) {
  if (!known(wh)) return UNKNOWN;
  return wh < 1000 ? `${whole.format(wh)} Wh` : `${some.format(wh / 1000)} kWh`;
}

/** An energy that is estimated: two digits are all that is known. */
export const roughly = (wh) => energy(known(wh) ? Number(wh.toPrecision(2)) : wh);

export function unit(value, name, digits = 1) {
  return known(value) ? `${value.toFixed(digits).replace("-", "−")} ${name}` : UNKNOWN;
}

export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 90) return `${whole.format(Math.floor(seconds))} s`;
  if (seconds < 5400) return `${whole.format(seconds / 60)} min`;
  if (seconds < 172800) return `${whole.format(seconds / 3600)} h`;
  return `${whole.format(seconds / 86400)} days`;
}

export const clock = (iso) => new Date(iso).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
export const date = (iso) => new Date(iso).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });

/** Build an element; texts are always text, whatever a device may have called itself. */
export function element(tag, { className, ...properties } = {}, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  Object.assign(made, properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Set a text only when it differs, so that screen readers and selections are left in peace. */
export function text(node, value) {
  const target = typeof node === "string" ? document.getElementById(node) : node;
  if (target.textContent !== value) target.textContent = value;
  return target;
}
