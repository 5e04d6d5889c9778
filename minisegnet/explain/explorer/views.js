// The synchronised views: each draws one card from the model.

"use strict";

const CELL_KINDS = { input: "", inserted: "inserted", padding: "padding", extra: "extra" };
const MOST_STAMPS_AT_ONCE = 12;
const MOST_ENTRIES_AT_ONCE = 1600;
const ROWS_OF_A_LARGE_MATRIX = 16;

const sentence = (...parts) => element("p", { className: "quiet" }, ...parts);
const fill = (id, ...children) => byId(id).replaceChildren(...children);
const pairWords = ([rows, columns]) =>
  (rows === columns ? `${rows}` : `${rows} (columns: ${columns})`);

function drawViews(m, look) {
  drawRecipe(m);
  drawResult(m, look);
  drawScatter(m, look);
  drawFrame(m, look);
  drawMatrix(m, look);
  drawOverlap(m);
  drawElsewhere(m, look);
}

// ------------------------------------------------------------------ 1. the recipe

function drawRecipe(m) {
  const { s, g } = m;
  const zeros = pairWords(s.stride.map((n) => n - 1));
  const insertion = s.stride.some((n) => n > 1) ?
    `Insert stride - 1 = ${zeros} zeros between neighbours.` : "Insert stride - 1 = 0 zeros: none.";
  const crops = [...g.before, ...g.after].some((n) => n < 0);
  const isExtended = s.outputPadding.some((n) => n > 0);
  const padding = `Pad every side by dilation*(k - 1) - padding = ${pairWords(g.before)}` +
    (isExtended ? `, and by the output padding, ${pairWords(s.outputPadding)}, more at the ` +
      "bottom and right" : "") + (crops ? "; less than zero cuts off." : ".");
  const gaps = s.dilation.some((n) => n > 1) ?
    ` The dilation leaves gaps of ${pairWords(s.dilation.map((n) => n - 1))}.` : "";
  fill("recipe",
    step("1", insertion, spreadTable(m)),
    step("2", padding, wholeTable(m, crops)),
    step("3", `Turn the kernel upside down and left to right, slide it, multiply and add.${gaps}`,
      flippedTable(m)));
  if (crops) frameWhole(m);
}

const step = (number, words, panel) => element("div", { className: "step" },
  element("p", { className: "quiet" }, element("b", { textContent: number }), ` ${words}`), panel);

function spreadTable(m) {
  return numberTable("spread", {
    title: "spread input", size: m.g.spread, kind: "map",
    cell: (r, c) => {
      const isReal = r % m.s.stride[0] === 0 && c % m.s.stride[1] === 0;
      return { text: m.spread[r][c], className: isReal ? "" : "inserted" };
    },
  });
}

function wholeTable(m, crops) {
  const size = m.g.padded.join(" x ");
  return numberTable("whole", {
    title: "padded input", size: m.g.whole, kind: "map", note: crops ? `, cut to ${size}` : "",
    cell: (r, c) => {
      const cell = m.whole[r][c];
      return { text: cell.value, className: `${CELL_KINDS[cell.kind]}${cell.isCut ? " cut" : ""}` };
    },
  });
}

const frameWhole = (m) => outline("whole", "frame", m.g.first,
  AXES.map((a) => m.g.first[a] + m.g.padded[a] - 1));

function flippedTable(m) {
  const size = m.g.span.map((n) => n + 1);
  const kernel = turned(m.s.kernel);
  return numberTable("flipped", {
    title: "flipped kernel", size, kind: "kernel",
    cell: (r, c) => {
      const isTap = r % m.s.dilation[0] === 0 && c % m.s.dilation[1] === 0;
      return isTap ? { text: kernel[r / m.s.dilation[0]][c / m.s.dilation[1]] } :
        { text: "", className: "gap", says: "gap" };
    },
  });
}

// ------------------------------------------------------------------ the result

const isHidden = (m, look, cell) =>
  (look.ask === "value" && !look.seen.has(flat(m.g.size, cell))) ||
  (look.ask === "size" && !look.sizeSeen);

// A cell of the result in any view: "?" while it is a question.
function resultCell(m, look, cell, value, className = "") {
  return isHidden(m, look, cell) ?
    { text: "?", className: `${className} asked`, says: "not yet predicted" } :
    { text: value, className };
}

function drawResult(m, look) {
  fill("result", numberTable("result", {
    title: "result", size: m.g.size, kind: "result",
    cell: (r, c) => resultCell(m, look, [r, c], m.result[r][c],
      isUncovered(m.s, r, c) ? "uncovered" : ""),
  }), m.s.outputPadding.some((n) => n > 0) ?
    sentence(element("i", { className: "swatch uncovered" }), "uncovered by output padding") : "");
}

// ------------------------------------------------------------------ 2. scatter

function drawScatter(m, look) {
  const count = m.g.input[0] * m.g.input[1];
  const slider = element("input", {
    type: "range", id: "stamps", min: 0, max: count, value: look.stamps ?? count,
  });
  const control = element("label", { className: "stamps" },
    element("span", { id: "stamps-says", textContent: stampsWords(m, look) }), slider);
  fill("scatter",
    sentence("A stamp is the kernel, not flipped, times one input cell. The next cell's stamp " +
      `lies ${pairWords(m.s.stride)} further, which is the stride. Where stamps overlap, add.`),
    element("div", { className: "beside" },
      element("div", {}, control, element("div", { id: "canvas-box" }, canvasTable(m, look))),
      element("div", { id: "stamp-box", className: "stamp-box" }, ...stampTables(m, look))));
}

function stampsWords(m, look) {
  const count = m.g.input[0] * m.g.input[1];
  if (look.stamps === null) return `Stamps added: all ${count}`;
  return `Stamps added: ${look.stamps} of ${count}`;
}

function canvasTable(m, look) {
  const board = look.stamps === null ? m.board : stampedBoard(m.s, look.stamps);
  const isTouched = (r, c) => look.stamps === null ||
    onBoard(m, r, c).some((product) => flat(m.g.input, product.from) < look.stamps);
  return numberTable("canvas", {
    title: "sum of the stamps", size: m.g.board, kind: "result",
    cell: (r, c) => {
      const cell = toResult(m, [r, c]);
      const shown = { text: board[r][c], className: isTouched(r, c) ? "" : "untouched" };
      return isResult(m, cell) ? resultCell(m, look, cell, shown.text, shown.className) : shown;
    },
  });
}

// All stamps if they are few; else those that reach the current cell.
function stampTables(m, look) {
  const all = Array.from({ length: m.g.input[0] * m.g.input[1] }, (_, n) => n);
  const here = new Set(onBoard(m, ...toBoard(m, look.at)).map(({ from }) => flat(m.g.input, from)));
  const isMany = all.length > MOST_STAMPS_AT_ONCE;
  const shown = isMany ? all.filter((n) => here.has(n)) : all;
  const tables = shown.map((n) => {
    const from = unflat(m.g.input, n);
    const value = m.s.input[from[0]][from[1]];
    const panel = numberTable(`stamp-${n}`, {
      title: `${value} * kernel`, size: m.g.span.map((k) => k + 1), kind: "stamp",
      cell: (r, c) => {
        const tap = [r / m.s.dilation[0], c / m.s.dilation[1]];
        return tap.every(Number.isInteger) ? { text: value * m.s.kernel[tap[0]][tap[1]] } :
          { text: "", className: "gap", says: "gap" };
      },
    });
    panel.querySelector(".caption span").textContent = `from [${from.join(", ")}]`;
    if (!here.has(n)) panel.classList.add("elsewhere");
    return panel;
  });
  const words = shown.length ? `The ${shown.length} of ${all.length} stamps that reach this cell:` :
    "No stamp reaches this cell.";
  return isMany || !shown.length ? [sentence(words), ...tables] : tables;
}

// ------------------------------------------------------------------ 5. the frame

function drawFrame(m, look) {
  const { s, g } = m;
  fill("frame", sentence(frameWords(m)), numberTable("frame", {
    title: "full result", size: g.board, kind: "result",
    cell: (r, c) => {
      const cell = toResult(m, [r, c]);
      if (!isResult(m, cell)) return { text: m.board[r][c], className: "cut" };
      return resultCell(m, look, cell, m.board[r][c], isUncovered(s, ...cell) ? "uncovered" : "");
    },
  }));
  outline("frame", "frame", s.padding, AXES.map((a) => s.padding[a] + g.size[a] - 1));
}

function frameWords(m) {
  const { padding, outputPadding } = m.s;
  const cut = padding.some((n) => n > 0) ?
    `Padding cuts ${plural(padding[0], "row")} off the top and the bottom, and ` +
      `${plural(padding[1], "column")} off the left and the right.` :
    "With padding 0 nothing is cut off.";
  const [rows, columns] = outputPadding;
  const uncovered = rows || columns ? ` Output padding moves the frame out again: ` +
    `${plural(rows, "row")} at the bottom, ${plural(columns, "column")} at the right.` : "";
  const beyond = AXES.some((a) => m.g.board[a] > m.g.stamped[a]) ?
    " Some of that lies beyond all stamps, where there is nothing but 0." : "";
  return cut + uncovered + beyond;
}

// ------------------------------------------------------------------ 3. the matrix

const isLargeMatrix = ({ g }) =>
  g.size[0] * g.size[1] * g.input[0] * g.input[1] > MOST_ENTRIES_AT_ONCE;

function drawMatrix(m, look) {
  const { g } = m;
  const [rows, columns] = [g.size[0] * g.size[1], g.input[0] * g.input[1]];
  const isLarge = isLargeMatrix(m);
  const current = flat(g.size, look.at);
  const first = isLarge ?
    Math.max(0, Math.min(current - ROWS_OF_A_LARGE_MATRIX / 2, rows - ROWS_OF_A_LARGE_MATRIX)) : 0;
  const last = isLarge ? Math.min(first + ROWS_OF_A_LARGE_MATRIX, rows) : rows;
  const lines = [labelRow(m, columns), columnRow(m, columns)];
  for (let row = first; row < last; row++) lines.push(matrixRow(m, look, row, columns));
  const part = isLarge ? `, here rows ${first} to ${last - 1}` : "";
  const used = m.found.filter((product) => isResult(m, toResult(m, product.to))).length;
  const share = Math.round((100 * used) / (rows * columns));
  const panel = titled("the convolution's matrix, transposed", `${rows} x ${columns}${part}`,
    "matrix", lines, columns);
  panel.querySelector(".scroll").classList.add("tall");
  fill("matrix", sentence("A row for each result cell, a column for each input cell. Multiply a " +
    "row by the input on top of it, cell by cell, and add: that is the result cell on the right. " +
    `${share} % of the entries are weights, the rest is empty.`), panel);
}

// A heading of a row or a column; without a role it is only there for the eye.
const headCell = (text, className, role = null) => element("th", {
  textContent: text, className, attributes: role ? { role } : { "aria-hidden": "true" },
});

function labelRow(m, columns) {
  const labels = Array.from({ length: columns }, (_, n) =>
    headCell(unflat(m.g.input, n).join(","), "label", "columnheader"));
  return element("tr", { attributes: { role: "row" }, className: "labels" },
    headCell("input", "corner"), ...labels, headCell("", "equals"),
    headCell("result", "label", "columnheader"));
}

function columnRow(m, columns) {
  const cells = Array.from({ length: columns }, (_, n) => {
    const [r, c] = unflat(m.g.input, n);
    return numberCell("column", 0, n, { text: m.s.input[r][c], className: "of-input" });
  });
  return element("tr", { attributes: { role: "row" }, className: "operand" },
    headCell("", "corner"), ...cells, headCell("", "equals"), headCell("", ""));
}

function matrixRow(m, look, row, columns) {
  const to = unflat(m.g.size, row);
  const cells = Array.from({ length: columns }, (_, n) => {
    const tap = matrixTap(m.s, to, unflat(m.g.input, n));
    return numberCell("matrix", row, n, tap ? { text: m.s.kernel[tap[0]][tap[1]] } :
      { text: "\u00b7", className: "empty", says: "empty" });
  });
  const answer = resultCell(m, look, to, m.result[to[0]][to[1]], "of-result");
  const label = headCell(to.join(","), "corner label", "rowheader");
  return element("tr", { attributes: { role: "row" } }, label, ...cells,
    headCell("=", "equals"), numberCell("answer", row, 0, answer));
}

// ------------------------------------------------------------------ 4. overlap

function drawOverlap(m) {
  const most = Math.max(1, ...m.overlap.flat());
  const panel = numberTable("overlap", {
    title: "products in each result cell", size: m.g.size, kind: "note",
    cell: (r, c) => ({ text: m.overlap[r][c] }),
  });
  for (const cell of panel.querySelectorAll("[data-view]")) {
    cell.style.setProperty("--count", Number(cell.textContent) / most);
  }
  fill("overlap", overlapWords(m), panel);
}

const verdict = (word, words) => sentence(element("b", { textContent: word }), ` ${words}`);

function overlapWords(m) {
  const { low, high } = overlapInside(m.s);
  const ratio = String(Math.round((100 * high) / low) / 100);
  const inside = "Away from the border ";
  if (low === high) {
    return verdict("Even.",
      `${inside}every cell gets ${plural(low, "product")}: overlap draws no checkerboard.`);
  }
  if (low === 0) {
    return verdict("Holes.", `${inside}it is 0 to ${high}: some cells get nothing at all.`);
  }
  return verdict("Uneven.", `${inside}it is ${low} to ${high}, a ratio of ${ratio}: the kernel ` +
    "is not divisible by the stride, so expect a checkerboard.");
}

// ------------------------------------------------------------------ the same elsewhere

function drawElsewhere(m, look) {
  fill("elsewhere",
    copyLine("python", "In Python, after import minisegnet as ms, minisegnet.functional as F",
      pythonLine(m.s)),
    copyLine("terminal", "In a terminal", terminalLine(m.s, look.at)));
}

function copyLine(id, title, text) {
  const button = element("button", {
    type: "button", textContent: "Copy",
    attributes: { "data-copy": id, "aria-label": `Copy: ${title}` },
  });
  return element("div", { className: "line" },
    element("div", { className: "caption" }, title),
    element("div", { className: "row" },
      element("code", { id: `${id}-line`, textContent: text, tabIndex: 0 }), button));
}
