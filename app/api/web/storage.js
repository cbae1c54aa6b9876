// What this browser keeps for us. Where it keeps nothing, a value lasts as long as the page.

const here = new Map();

/** A kept text, or null. */
export function read(key) {
  try {
    return localStorage.getItem(key) ?? here.get(key) ?? null;
  } catch {
    return here.get(key) ?? null; // storage is switched off
  }
}

/** Keep a text; false where it is forgotten with this page. */
export function keep(key, value) {
  here.set(key, value);
  try {
    localStorage.setItem(key, value);
    return true;
  } catch {
    return false;
  }
}
