// Requests to the controller, with the token where it asks for one.

const KEY = "token";
const NEEDED = {
  look: "Looking needs the token that is set as http.read_token; with http.token, changes work too. This browser keeps it.",
  change: "Changes need the token that is set as http.token. This browser keeps it.",
};

/** The headers of every request. */
export function headers(more = {}) {
  const token = localStorage.getItem(KEY);
  return { Accept: "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}), ...more };
}

/** What an answer that is none says: {status, locked, error}; locked where a (better) token is needed. */
export async function refusal(response) {
  const data = await response.json().catch(() => ({}));
  const weak = response.headers.get("WWW-Authenticate")?.includes("insufficient_scope") ?? false;
  const error = data.error || `The controller answers HTTP ${response.status}.`;
  return { status: response.status, locked: response.status === 401 || weak, error };
}

/** One request; resolves to {ok, data} or to a refusal, rejects when nothing answers. */
export async function request(method, url, body) {
  const kind = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await fetch(url, { method, headers: headers(kind), body: body === undefined ? undefined : JSON.stringify(body) });
  return response.ok ? { ok: true, data: await response.json().catch(() => ({})) } : { ok: false, ...(await refusal(response)) };
}

/** Change settings, or what else takes a PUT; asks for the token once and again only when it is wrong. Throws an Error with a sentence. */
export async function change(settings, url = "api/settings") {
  for (let asked = false; ; asked = true) {
    const answer = await request("PUT", url, settings).catch(() => {
      throw new Error("The controller does not answer: nothing is known to have changed.");
    });
    if (answer.ok) return answer.data;
    if (!answer.locked) throw new Error(answer.error);
    if (!(await askForToken("change", asked))) throw new Error("Nothing has changed: the token is needed.");
  }
}

/** Ask for the token that is needed to "look" or to "change"; false where none was given. */
export function askForToken(purpose, again) {
  const dialog = document.getElementById("token-dialog");
  const field = document.getElementById("token");
  document.getElementById("token-text").textContent = again ? `That was not the token. ${NEEDED[purpose]}` : NEEDED[purpose];
  field.value = "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "ok" && field.value;
      if (given) localStorage.setItem(KEY, field.value);
      resolve(Boolean(given));
    }, { once: true });
  });
}
