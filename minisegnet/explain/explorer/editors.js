// Where the reader types: two matrices that grow and shrink, and four options for two axes.

"use strict";

// A number with a button on each side; the arrow keys do the same.
function numberField(id, value, label, low, high) {
  const field = element("input", {
    id, type: "text", inputMode: "numeric", value, maxLength: 6, className: "number",
    attributes: {
      role: "spinbutton", "aria-label": label, "aria-valuemin": low, "aria-valuemax": high,
      "aria-valuenow": value, autocomplete: "off",
    },
  });
  const button = (by, sign, word) => element("button", {
    type: "button", tabIndex: -1, textContent: sign, className: "nudge",
    attributes: { "data-nudge": by, "data-for": id, "aria-label": `${word} ${label}` },
  });
  return element("span", { className: "spin" }, button(-1, "\u2212", "less:"), field,
    button(1, "+", "more:"));
}

// Changes a number by one, within its limits; text that is no number becomes the nearest limit.
function nudge(field, by) {
  const [low, high] = ["aria-valuemin", "aria-valuemax"].map((key) => field.getAttribute(key));
  const value = Number.parseInt(field.value, 10);
  field.value = Math.min(high, Math.max(low, Number.isNaN(value) ? low : value + by));
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function drawEditors(s) {
  byId("editors").replaceChildren(...MATRICES.map((name) => matrixEditor(name, s[name])));
  const rows = OPTIONS.map(([name, words, , least]) =>
    element("tr", {}, element("th", { textContent: words, attributes: { scope: "row" } }),
      ...AXES.map((a) => element("td", {}, numberField(`${name}-${a}`, s[name][a],
        `${words}, ${AXIS_NAMES[a]}`, least, MOST[name])))));
  byId("options").querySelector("tbody").replaceChildren(...rows);
}

function matrixEditor(name, matrix) {
  const size = rowsAndColumns(matrix);
  const word = name[0].toUpperCase() + name.slice(1);
  const head = element("div", { className: "row editor-head" },
    element("h2", { className: "title", textContent: word }),
    ...AXES.flatMap((a) => [a ? element("span", { textContent: "x" }) : null,
      numberField(`size-${name}-${a}`, size[a], `${AXIS_NAMES[a]} of the ${name}`, 1, MOST[name])])
      .filter(Boolean));
  const rows = matrix.map((row, r) => element("tr", {}, ...row.map((value, c) =>
    element("td", {}, cellField(name, r, c, value)))));
  const grid = element("table", {
    className: "editor", attributes: { "aria-label": `${word}, to be edited` },
  }, element("tbody", {}, ...rows));
  const kind = name === "input" ? "map" : "kernel";
  return element("div", { id: `editing-${name}`, className: `editing ${kind}` }, head,
    element("div", { className: "scroll" }, element("div", { className: "sheet" }, grid)));
}

const cellField = (name, r, c, value) => element("input", {
  id: `${name}-${r}-${c}`, type: "text", value, maxLength: 8, className: "cell",
  attributes: {
    "aria-label": `${name}, row ${r}, column ${c}`, autocomplete: "off",
    "data-view": name, "data-r": r, "data-c": c,
  },
});

// What stands in all fields, as text.
function typedTexts() {
  const texts = {};
  for (const name of MATRICES) {
    const rows = [...byId(`editing-${name}`).querySelectorAll("tr")];
    texts[name] = rows.map((row) => [...row.querySelectorAll("input")].map((field) => field.value));
  }
  for (const [name] of OPTIONS) texts[name] = AXES.map((a) => byId(`${name}-${a}`).value);
  return texts;
}

// The sizes that are typed above the matrices; throws a Problem.
const typedSize = (name) => AXES.map((a) =>
  wholeNumber(byId(`size-${name}-${a}`).value, `size-${name}-${a}`,
    `The number of ${AXIS_NAMES[a]} of the ${name}`, 1, MOST[name]));

// A matrix of another size: what was there stays, and new cells get various digits.
const resized = (texts, size) =>
  table(size, (r, c) => texts[r]?.[c] ?? String(((5 * r + 3 * c + 1) % 9) + 1));

// Arrows and Enter lead from cell to cell of a matrix.
function moveInEditor(event) {
  const field = event.target;
  const [r, c] = placeOf(field);
  const isAll = field.selectionStart === 0 && field.selectionEnd === field.value.length;
  const atStart = isAll || field.selectionEnd === 0;
  const atEnd = isAll || field.selectionStart === field.value.length;
  const steps = {
    ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], Enter: [r + 1, c],
    ArrowLeft: atStart ? [r, c - 1] : null, ArrowRight: atEnd ? [r, c + 1] : null,
  };
  const step = steps[event.key];
  const next = step && byId(`${field.dataset.view}-${step[0]}-${step[1]}`);
  if (!next) return;
  event.preventDefault();
  next.focus();
  next.select();
}
