// The ways to another stretch of time: dragging, pinching, the wheel, keys. They end in ``look(from, to)`` or ``live()``.

import { followTouch } from "./paint.js";

const WHEEL = 0.01; // of a trackpad that is pinched, per pixel

export function zoomable(chart, { look, live, zoom, pan }) {
  const { plot, box } = chart;
  plot.hooks.setSelect = [() => selected(plot, look)];
  plot.over.addEventListener("dblclick", live);
  plot.over.addEventListener("wheel", (event) => wheel(plot, event, zoom), { passive: false });
  followTouch(plot);
  followFingers(plot, look);
  followKeys(box, chart, { live, zoom, pan });
}

function selected(plot, look) {
  const { left, width } = plot.select;
  if (width < 6) return;
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  look(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
}

/** A pinched trackpad shows as a wheel with Ctrl; the wheel alone scrolls the page. */
function wheel(plot, event, zoom) {
  if (!event.ctrlKey) return;
  event.preventDefault();
  const { left } = plot.over.getBoundingClientRect();
  zoom(Math.exp(event.deltaY * WHEEL), plot.posToVal(event.clientX - left, "x"));
}

/** Two fingers keep the moments that they took hold of below them. */
function followFingers(plot, look) {
  let held = null;
  const places = (event) => {
    const { left } = plot.over.getBoundingClientRect();
    return [...event.touches].map((touch) => touch.clientX - left);
  };
  plot.over.addEventListener("touchstart", (event) => {
    held = event.touches.length === 2 ? places(event).map((place) => plot.posToVal(place, "x")) : null;
  }, { passive: true });
  plot.over.addEventListener("touchmove", (event) => {
    if (event.touches.length !== 2 || !held) return;
    event.preventDefault(); // else the page would scroll
    const [one, other] = places(event);
    const scale = (held[1] - held[0]) / (other - one);
    if (Math.abs(other - one) < 12 || !(scale > 0)) return;
    const from = held[0] - one * scale;
    plot.setCursor({ left: -10, top: -10 });
    look(from, from + plot.over.clientWidth * scale);
  }, { passive: false });
}

function followKeys(box, chart, { live, zoom, pan }) {
  const { plot } = chart;
  const keys = {
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
    ArrowLeft: (event) => (event.shiftKey ? pan(-1) : chart.step(-1)),
    ArrowRight: (event) => (event.shiftKey ? pan(1) : chart.step(1)),
    PageUp: () => pan(-1),
    PageDown: () => pan(1),
    Escape: live,
  };
  box.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
  box.addEventListener("blur", () => plot.setCursor({ left: -10, top: -10 }));
}
