// The page that asks before a change. Without this script its form works all the same, unless a token is needed.
import { request } from "./api.js";

const form = document.getElementById("confirm");
const row = document.getElementById("token-row");
const field = document.getElementById("token");
const message = document.getElementById("message");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!row.hidden) localStorage.setItem("token", field.value);
  const url = new URL(form.action);
  url.searchParams.delete("redirect"); // we go there ourselves, once the change is done
  try {
    const answer = await request("POST", url);
    if (answer.ok) {
      location.assign(form.dataset.back);
    } else if (answer.locked) {
      message.textContent = row.hidden ? "This controller asks for its token." : "That is not the token.";
      row.hidden = false;
      field.focus();
    } else {
      message.textContent = answer.error;
    }
  } catch {
    message.textContent = "The controller does not answer. Nothing is known to have changed.";
  }
});
