// Requests to the controller, with the token where it asks for one.

import { t } from "./i18n.js";
import { keep, read } from "./storage.js";

const KEY = "token";

/** The headers of every request. */
export function headers(more = {}) {
  const token = read(KEY);
  return { Accept: "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}), ...more };
}

/** Remember the token that somebody gave. */
export const keepToken = (token) => keep(KEY, token);

/** What an answer that is none says: {status, locked, error, controller}; locked where a (better) token is needed. */
export async function refusal(response) {
  const data = await response.json().catch(() => ({}));
  const weak = response.headers.get("WWW-Authenticate")?.includes("insufficient_scope") ?? false;
  const error = data.error || t("api.answers", { status: response.status });
  return { status: response.status, locked: response.status === 401 || weak, error, controller: Boolean(data.error) };
}

/** One request; resolves to {ok, data} or to a refusal, rejects when nothing answers. */
export async function request(method, url, body) {
  const kind = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await fetch(url, { method, headers: headers(kind), body: body === undefined ? undefined : JSON.stringify(body) });
  return response.ok ? { ok: true, data: await response.json().catch(() => ({})) } : { ok: false, ...(await refusal(response)) };
}

/** Read something; what cannot be read is null, and the stream tells why. ``missing`` where this controller has none. */
export async function look(url) {
  const answer = await request("GET", url).catch(() => ({ ok: false }));
  return { data: answer.ok ? answer.data : null, missing: answer.status === 404, busy: answer.status === 503 };
}

/** A sentence for people; ``controller``: in the controller's own words. */
export class Refused extends Error {
  constructor(sentence, controller = false) {
    super(sentence);
    this.controller = controller;
  }
}

/** Change settings, or what else takes a PUT; asks for the token once and again only when it is wrong. Throws Refused. */
export async function change(settings, url = "api/settings") {
  for (let asked = false; ; asked = true) {
    const answer = await request("PUT", url, settings).catch(() => {
      throw new Refused(t("api.silent"));
    });
    if (answer.ok) return answer.data;
    if (!answer.locked) throw new Refused(answer.error, answer.controller);
    if (!(await askForToken("change", asked))) throw new Refused(t("api.unchanged"));
  }
}

/** Ask for the token that is needed to "look" or to "change"; false where none was given. */
export function askForToken(purpose, again) {
  const dialog = document.getElementById("token-dialog");
  const field = document.getElementById("token");
  const needed = t(`token.${purpose}`);
  document.getElementById("token-text").textContent = again ? `${t("token.wrong")} ${needed}` : needed;
  field.value = "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "ok" && field.value;
      if (given) keepToken(field.value);
      resolve(Boolean(given));
    }, { once: true });
  });
}
