// The few things that every part of the page does with its elements.

export const byId = (id) => document.getElementById(id);

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
  const target = typeof node === "string" ? byId(node) : node;
  if (target.textContent !== value) target.textContent = value;
  return target;
}

/** Texts one after the other with dots between them; those of the controller, given as {controller}, are English. */
export function joined(node, parts) {
  const target = typeof node === "string" ? byId(node) : node;
  const spans = parts.filter((part) => part && part.controller !== null && part.controller !== "");
  const wanted = spans.map((part) => part.controller ?? part).join(" · ");
  if (target.textContent === wanted) return target;
  target.replaceChildren(...spans.flatMap((part, index) => {
    const span = part.controller === undefined ? part : element("span", { lang: "en", textContent: part.controller });
    return index ? [" · ", span] : [span];
  }));
  return target;
}

/** Say what came of a change: ours in the language of the page, what the controller says in its own. */
export function say(id, words, tone = "", controller = false) {
  const node = text(id, words);
  node.dataset.tone = tone;
  if (controller) node.lang = "en";
  else node.removeAttribute("lang");
}

/** Mark one of several buttons as the one that is chosen. */
export function press(buttons, chosen) {
  for (const button of buttons) button.setAttribute("aria-pressed", String(chosen(button)));
}
