// Tables of numbers: how they are drawn, lit, outlined, and walked through with the keyboard.

"use strict";

// An element with properties, attributes (in `attributes`) and children.
function element(name, { attributes = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

const byId = (id) => document.getElementById(id);

// A cell that can be pointed at. `shown` is { text, className, says }.
function numberCell(view, r, c, shown) {
  const attributes = { role: "gridcell", "data-view": view, "data-r": r, "data-c": c };
  if (shown.says) attributes["aria-label"] = shown.says;
  return element("td", {
    textContent: shown.text, className: shown.className ?? "", tabIndex: -1, attributes,
  });
}

// A caption, and a table below it that scrolls in a box of its own where it is too wide.
function numberTable(view, { title, size, kind, cell, note = "" }) {
  const rows = Array.from({ length: size[0] }, (_, r) =>
    element("tr", { attributes: { role: "row" } },
      ...Array.from({ length: size[1] }, (_, c) => numberCell(view, r, c, cell(r, c)))));
  return titled(title, `${size[0]} x ${size[1]}${note}`, kind, rows, size[1]);
}

function titled(title, note, kind, rows, columns) {
  const density = columns > 22 ? "tiny" : columns > 12 ? "small" : "";
  const body = element("tbody", { attributes: { role: "rowgroup" } }, ...rows);
  const grid = element("table", {
    className: `grid ${density}`, attributes: { role: "grid", "aria-label": `${title}, ${note}` },
  }, body);
  const first = grid.querySelector("[data-view]");
  if (first) first.tabIndex = 0;
  const caption = element("div", { className: "caption" }, title, " ",
    element("span", { textContent: note }));
  return element("div", { className: `panel ${kind}` }, caption,
    element("div", { className: "scroll" }, element("div", { className: "sheet" }, grid)));
}

const cellsOf = (view) => document.querySelectorAll(`[data-view="${view}"]`);
const cellAt = (view, r, c) =>
  document.querySelector(`[data-view="${view}"][data-r="${r}"][data-c="${c}"]`);
const placeOf = (cell) => [Number(cell.dataset.r), Number(cell.dataset.c)];

// ------------------------------------------------------------------ light

const LIT = ["lit-factor", "lit-zero", "lit-target"];

function clearLight() {
  for (const cell of document.querySelectorAll(LIT.map((name) => `[data-view].${name}`).join())) {
    cell.classList.remove(...LIT);
    delete cell.dataset.tap;
  }
  for (const outline of document.querySelectorAll(".outline.moving")) outline.hidden = true;
}

function showLight(light) {
  clearLight();
  for (const [view, cells] of light.views) {
    for (const cell of cellsOf(view)) {
      const lit = cells.get(keyOf(cell.dataset.r, cell.dataset.c));
      if (!lit) continue;
      cell.classList.add(`lit-${lit.kind}`);
      if (lit.tap !== null) cell.dataset.tap = lit.tap;
    }
  }
  for (const { view, first, last } of light.outlines) outline(view, "moving", first, last);
}

// A rectangle around cells: of kind "moving" (a window, a stamp) or "frame" (what stays).
function outline(view, kind, first, last) {
  const [from, to] = [cellAt(view, ...first), cellAt(view, ...last)];
  if (!from || !to) return;
  const sheet = from.closest(".sheet");
  let box = sheet.querySelector(`.outline.${kind}`);
  if (!box) {
    box = element("div", { className: `outline ${kind}`, attributes: { "aria-hidden": "true" } });
    sheet.append(box);
  }
  box.hidden = false;
  const [low, high] = [from.getBoundingClientRect(), to.getBoundingClientRect()];
  const origin = sheet.getBoundingClientRect();
  Object.assign(box.style, {
    left: `${low.left - origin.left - 2}px`, top: `${low.top - origin.top - 2}px`,
    width: `${high.right - low.left + 4}px`, height: `${high.bottom - low.top + 4}px`,
  });
}

// Moves what scrolls inside a card, never the page.
function bringIntoBox(cell, alsoSideways = true) {
  const box = cell?.closest(".scroll");
  if (!box) return;
  const [inner, outer] = [cell.getBoundingClientRect(), box.getBoundingClientRect()];
  if (inner.top < outer.top + 40 || inner.bottom > outer.bottom) {
    box.scrollTop += inner.top - outer.top - outer.height / 2;
  }
  if (alsoSideways && (inner.left < outer.left || inner.right > outer.right)) {
    box.scrollLeft += inner.left - outer.left - outer.width / 2;
  }
}

// ------------------------------------------------------------------ keyboard

function makeTabStop(cell) {
  for (const other of cell.closest("table, .terms").querySelectorAll('[tabindex="0"]')) {
    other.tabIndex = -1;
  }
  cell.tabIndex = 0;
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// Where a key leads from a cell of a table; null if it leads nowhere.
function neighbour(cell, key, withControl) {
  const row = [...cell.parentElement.children].filter((each) => each.dataset.view);
  const rows = [...cell.closest("tbody").children];
  if (key in STEPS) {
    const [down, right] = STEPS[key];
    if (right) return row[row.indexOf(cell) + right] ?? null;
    const next = rows[rows.indexOf(cell.parentElement) + down];
    const there = next?.children[cell.cellIndex];
    return there?.dataset.view ? there : null;
  }
  const ends = [...cell.closest("tbody").querySelectorAll("[data-view]")];
  if (key === "Home") return withControl ? ends[0] : row[0];
  if (key === "End") return withControl ? ends.at(-1) : row.at(-1);
  return null;
}
