// Requests that change something, with the token where the controller asks for one.

const KEY = "token";

/** One request; resolves to {ok, status, data, error}, rejects when nothing answers. */
export async function request(method, url, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const token = localStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const data = await response.json().catch(() => ({}));
  const error = response.ok ? null : data.error || `The controller answers HTTP ${response.status}.`;
  return { ok: response.ok, status: response.status, data, error };
}

/** Change settings; asks for the token once and again only when it is wrong. Throws an Error with a sentence. */
export async function change(settings) {
  for (let asked = false; ; asked = true) {
    const answer = await request("PUT", "api/settings", settings).catch(() => {
      throw new Error("The controller does not answer: nothing is known to have changed.");
    });
    if (answer.ok) return answer.data;
    if (answer.status !== 401) throw new Error(answer.error);
    if (!(await askForToken(asked))) throw new Error("Nothing has changed: the token is needed.");
  }
}

function askForToken(again) {
  const dialog = document.getElementById("token-dialog");
  const field = document.getElementById("token");
  document.getElementById("token-text").textContent = again
    ? "That was not the token (http.token in the configuration). Try again."
    : "Changes need the token that is set as http.token. This browser keeps it.";
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
