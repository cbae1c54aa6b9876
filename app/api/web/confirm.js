// The page that asks before a change. Without this script its form works all the same, unless a token is needed.
import { keepToken, request } from "./api.js";
import { fill, t } from "./i18n.js";

const form = document.getElementById("confirm");
const row = document.getElementById("token-row");
const field = document.getElementById("token");
const message = document.getElementById("message");

fill();
document.title = document.querySelector("h1").textContent;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!row.hidden) keepToken(field.value);
  const url = new URL(form.action);
  url.searchParams.delete("redirect"); // we go there ourselves, once the change is done
  try {
    const answer = await request("POST", url);
    if (answer.ok) {
      location.assign(form.dataset.back);
    } else if (answer.locked) {
      message.textContent = t(row.hidden ? "confirm.token" : "confirm.wrong");
      row.hidden = false;
      field.focus();
    } else {
      message.textContent = answer.error;
      if (answer.controller) message.lang = "en";
    }
  } catch {
    message.textContent = t("api.silent");
  }
});
