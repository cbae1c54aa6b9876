// How both charts look: colours, axes, and the line at 0.

/** A colour of the style sheet, as it is now. */
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** How every axis looks. */
export function axisStyle() {
  return { stroke: () => css("--muted"), font: "12px system-ui, sans-serif", grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false } };
}

/** Import above the zero line in one colour, export below it in another. */
export const gridStroke = (plot) => split(plot, css("--import"), css("--export"));

/** The same, pale: from the least to the most of the grid power. What was exported is what it is for. */
export const gridFill = (plot) => split(plot, `${css("--import")}38`, `${css("--export")}80`);

function split(plot, above, below) {
  const { top, height } = plot.bbox;
  const zero = plot.scales.y.min == null ? null : (plot.valToPos(0, "y", true) - top) / height;
  if (zero === null || !Number.isFinite(zero) || zero <= 0 || zero >= 1) return zero <= 0 ? below : above;
  const colors = plot.ctx.createLinearGradient(0, top, 0, top + height);
  colors.addColorStop(0, above);
  colors.addColorStop(zero, above);
  colors.addColorStop(zero, below);
  colors.addColorStop(1, below);
  return colors;
}

/** A line at 0 over the whole width. */
export function zeroLine(plot) {
  const { left, width } = plot.bbox;
  const y = Math.round(plot.valToPos(0, "y", true)) + 0.5;
  plot.ctx.save();
  plot.ctx.strokeStyle = css("--muted");
  plot.ctx.lineWidth = 1;
  plot.ctx.setLineDash([]);
  plot.ctx.beginPath();
  plot.ctx.moveTo(left, y);
  plot.ctx.lineTo(left + width, y);
  plot.ctx.stroke();
  plot.ctx.restore();
}

/** A finger moves the cursor; a vertical swipe still scrolls the page. */
export function followTouch(plot) {
  const move = (event) => {
    if (event.pointerType !== "touch" || !event.isPrimary) return;
    const { left, top } = plot.over.getBoundingClientRect();
    plot.setCursor({ left: event.clientX - left, top: event.clientY - top });
  };
  plot.over.addEventListener("pointerdown", move);
  plot.over.addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) {
    plot.over.addEventListener(end, (event) => event.pointerType === "touch" && setTimeout(() => plot.setCursor({ left: -10, top: -10 }), 1500));
  }
}
