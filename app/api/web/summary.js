// The chart as a table: what its lines were, in numbers.

import { MAX, MIN, SERIES } from "./chart.js";
import { element, text } from "./dom.js";
import { UNKNOWN, known, moment, watts } from "./format.js";
import { t } from "./i18n.js";

const COLUMNS = ["last", "mean", "least", "most"];

/** Fill ``box`` with a table of what the chart shows. */
export function summarise(box, chart) {
  const { data } = chart;
  const table = box.querySelector("table") ?? build(box);
  const [from, to] = chart.range();
  const seen = (row) => data[row].filter((value, index) => known(value) && data[0][index] >= from && data[0][index] <= to);
  text(table.caption, t("summary.caption", { from: moment(1000 * from), to: moment(1000 * to) }));
  SERIES.forEach((series, index) => {
    const values = seen(index + 1);
    const grid = series.key === "grid_w";
    const found = {
      last: values.at(-1),
      mean: values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null,
      least: least([...values, ...(grid ? seen(MIN) : [])]),
      most: most([...values, ...(grid ? seen(MAX) : [])]),
    };
    const cells = table.tBodies[0].rows[index].cells;
    COLUMNS.forEach((column, place) => text(cells[place + 1], known(found[column]) ? watts(found[column]) : UNKNOWN));
  });
}

const least = (values) => values.reduce((found, value) => Math.min(found, value), Infinity);
const most = (values) => values.reduce((found, value) => Math.max(found, value), -Infinity);

function build(box) {
  const head = element("tr", {}, element("td"), ...COLUMNS.map((key) => element("th", { scope: "col", textContent: t(`summary.${key}`) })));
  const rows = SERIES.map((series) => element("tr", {}, element("th", { scope: "row", textContent: t(series.name) }), ...COLUMNS.map(() => element("td"))));
  const table = element("table", { className: "table" }, element("caption"), element("thead", {}, head), element("tbody", {}, ...rows));
  box.append(table);
  return table;
}
