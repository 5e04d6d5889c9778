// What a number is made of: for any cell of any view, its sum or a sentence, and what lights up.

"use strict";

const keyOf = (r, c) => `${r},${c}`;
const named = (name, [r, c]) => `${name}[${r}, ${c}]`;
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

// Everything that the views show, computed once for each setting.
function modelOf(s) {
  const g = geometry(s);
  const found = products(s);
  const byBoardCell = new Map();
  for (const product of found) {
    const key = keyOf(...product.to);
    if (!byBoardCell.has(key)) byBoardCell.set(key, []);
    byBoardCell.get(key).push(product);
  }
  return {
    s, g, found, byBoardCell,
    board: stampedBoard(s),
    result: convTranspose2d(s),
    spread: insertZeros(s),
    whole: table(g.whole, (r, c) => wholeCell(s, g, r, c)),
    overlap: overlapCounts(s),
  };
}

const onBoard = (m, r, c) => m.byBoardCell.get(keyOf(r, c)) ?? [];
const toBoard = (m, [r, c]) => [r + m.s.padding[0], c + m.s.padding[1]];
const toResult = (m, [r, c]) => [r - m.s.padding[0], c - m.s.padding[1]];
const isResult = (m, [r, c]) => r >= 0 && c >= 0 && r < m.g.size[0] && c < m.g.size[1];
const flat = (size, [r, c]) => r * size[1] + c;
const unflat = (size, n) => [Math.floor(n / size[1]), n % size[1]];

// ------------------------------------------------------------------ what lights up

// Cells by view, each with how it is lit: "factor", "zero" (in the window, but nothing), "target".
class Light {
  constructor() {
    this.views = new Map();
    this.outlines = [];
  }

  add(view, [r, c], kind = "factor", tap = null) {
    if (!this.views.has(view)) this.views.set(view, new Map());
    const cells = this.views.get(view);
    if (kind !== "zero" || !cells.has(keyOf(r, c))) cells.set(keyOf(r, c), { kind, tap });
    return this;
  }

  outline(view, first, last) {
    this.outlines.push({ view, first, last });
    return this;
  }
}

function lightInput(light, m, from, tap = null) {
  const place = AXES.map((a) => from[a] * m.s.stride[a]);
  light.add("input", from).add("spread", place);
  light.add("whole", AXES.map((a) => place[a] + m.g.shift[a]), "factor", tap);
  light.add("column", [0, flat(m.g.input, from)]);
}

function lightKernel(light, m, tap) {
  light.add("kernel", tap);
  light.add("flipped", AXES.map((a) => (m.g.kernel[a] - 1 - tap[a]) * m.s.dilation[a]));
}

function lightTarget(light, m, board) {
  light.add("canvas", board, "target").add("frame", board, "target");
  const result = toResult(m, board);
  if (!isResult(m, result)) return;
  light.add("result", result, "target").add("overlap", result, "target");
  light.add("answer", [flat(m.g.size, result), 0], "target");
}

function lightProduct(light, m, product, tap = null) {
  lightInput(light, m, product.from, tap);
  lightKernel(light, m, product.tap);
  const stamp = AXES.map((a) => product.tap[a] * m.s.dilation[a]);
  light.add(`stamp-${flat(m.g.input, product.from)}`, stamp);
  const result = toResult(m, product.to);
  if (isResult(m, result)) {
    light.add("matrix", [flat(m.g.size, result), flat(m.g.input, product.from)]);
  }
}

function footprint(light, m, from) {
  const first = AXES.map((a) => from[a] * m.s.stride[a]);
  const last = AXES.map((a) => first[a] + m.g.span[a]);
  light.outline("canvas", first, last).outline("frame", first, last);
}

// ------------------------------------------------------------------ accounts

// A sum as terms: `name = a*b + c*d = total`.
const productTerm = (m, product) => ({
  left: factor(m.s.input[product.from[0]][product.from[1]]),
  right: factor(m.s.kernel[product.tap[0]][product.tap[1]]),
  isZero: false,
  says: `${named("input", product.from)} * ${named("kernel", product.tap)}`,
  product,
});

const ZEROS = {
  inserted: "a zero that the stride inserts",
  padding: "a zero of the padding",
  extra: "a zero that output padding adds",
};

// One cell of the result, gathered by the flipped kernel.
function resultAccount(m, cell) {
  const light = new Light();
  const board = toBoard(m, cell);
  const terms = windowTerms(m.s, ...cell).map((term) => {
    const kernelCell = AXES.map((a) => term.flipped[a] * m.s.dilation[a]);
    if (!term.cell.from) {
      light.add("whole", term.place, "zero", term.weight).add("flipped", kernelCell, "zero");
      return {
        left: "0", right: factor(term.weight), isZero: true, place: term.place, kernelCell,
        weight: term.weight, tap: term.tap,
        says: `${ZEROS[term.cell.kind]} * ${named("kernel", term.tap)}`,
      };
    }
    const product = { from: term.cell.from, tap: term.tap, to: board, value: term.value };
    lightProduct(light, m, product, term.weight);
    return productTerm(m, product);
  });
  lightTarget(light, m, board);
  const first = AXES.map((a) => m.g.first[a] + cell[a]);
  light.outline("whole", first, AXES.map((a) => first[a] + m.g.span[a]));
  lightMatrixRow(light, m, flat(m.g.size, cell));
  const total = m.result[cell[0]][cell[1]];
  return { name: named("result", cell), terms, total, cell, light };
}

function lightMatrixRow(light, m, row) {
  for (let column = 0; column < m.g.input[0] * m.g.input[1]; column++) {
    light.add("matrix", [row, column], "zero");
  }
}

// A cell of the board: of the result, or one that padding removes.
function boardAccount(m, place) {
  const cell = toResult(m, place);
  if (isResult(m, cell)) {
    const account = resultAccount(m, cell);
    if (isUncovered(m.s, ...cell)) account.note = "Output padding uncovers this cell.";
    return account;
  }
  const light = new Light();
  const found = onBoard(m, ...place);
  for (const product of found) lightProduct(light, m, product);
  lightTarget(light, m, place);
  return {
    name: named("full result", place), terms: found.map((product) => productTerm(m, product)),
    total: sum(found), light, note: "Padding removes this cell.",
  };
}

// A cell of the sum of the first `count` stamps.
function partialAccount(m, place, count) {
  const light = new Light();
  const found = onBoard(m, ...place).filter(({ from }) => flat(m.g.input, from) < count);
  for (const product of found) lightProduct(light, m, product);
  lightTarget(light, m, place);
  return {
    name: named("sum so far", place), terms: found.map((product) => productTerm(m, product)),
    total: sum(found), light, note: `After ${plural(count, "stamp")}.`,
  };
}

function inputAccount(m, from) {
  const light = new Light();
  const found = m.found.filter((product) => isAt(product.from, ...from));
  for (const product of found) {
    lightProduct(light, m, product);
    lightTarget(light, m, product.to);
  }
  footprint(light, m, from);
  const value = m.s.input[from[0]][from[1]];
  const [first, last] = [found[0].to, found.at(-1).to];
  const span = (a) => (first[a] === last[a] ? `${first[a]}` : `${first[a]} to ${last[a]}`);
  return {
    says: `${named("input", from)} = ${value} stamps ${factor(value)} * kernel on rows ` +
      `${span(0)} and columns ${span(1)} of the full result.`,
    light,
  };
}

function kernelAccount(m, tap) {
  const light = new Light();
  for (const product of m.found.filter((each) => isAt(each.tap, ...tap))) {
    lightProduct(light, m, product);
    lightTarget(light, m, product.to);
  }
  const flipped = AXES.map((a) => m.g.kernel[a] - 1 - tap[a]);
  return {
    says: `${named("kernel", tap)} = ${m.s.kernel[tap[0]][tap[1]]} is multiplied by every input ` +
      `cell; in the flipped kernel it stands at [${flipped.join(", ")}].`,
    light,
  };
}

function zeroAccount(m, kind, place, whole) {
  const light = new Light();
  if (place) light.add("spread", place);
  if (whole) light.add("whole", whole);
  return { says: `0: ${ZEROS[kind]}. It adds nothing to any sum.`, light };
}

function spreadAccount(m, place) {
  const whole = AXES.map((a) => place[a] + m.g.shift[a]);
  const cell = m.whole[whole[0]][whole[1]];
  return cell.from ? inputAccount(m, cell.from) : zeroAccount(m, cell.kind, place, whole);
}

function wholeAccount(m, whole) {
  const cell = m.whole[whole[0]][whole[1]];
  const account = cell.from ? inputAccount(m, cell.from) :
    zeroAccount(m, cell.kind, cell.place, whole);
  if (cell.isCut) account.note = "Step 2 cuts it off: dilation*(k - 1) - padding is below zero.";
  return account;
}

function flippedAccount(m, place) {
  const isTap = AXES.every((a) => place[a] % m.s.dilation[a] === 0);
  if (!isTap) {
    return {
      says: "A gap that the dilation leaves: nothing is multiplied here.",
      light: new Light().add("flipped", place),
    };
  }
  return kernelAccount(m, AXES.map((a) => m.g.kernel[a] - 1 - place[a] / m.s.dilation[a]));
}

function productAccount(m, product) {
  const light = new Light();
  lightProduct(light, m, product);
  lightTarget(light, m, product.to);
  const cell = toResult(m, product.to);
  const where = isResult(m, cell) ? `is added to ${named("result", cell)}` :
    `goes to ${named("full result", product.to)}, which padding removes`;
  return {
    says: `${named("input", product.from)} * ${named("kernel", product.tap)} = ` +
      `${factorsText(m.s, product)} = ${product.value + 0} ${where}.`,
    light,
  };
}

function stampAccount(m, number, place) {
  const from = unflat(m.g.input, number);
  const isTap = AXES.every((a) => place[a] % m.s.dilation[a] === 0);
  const light = new Light().add(`stamp-${number}`, place);
  if (!isTap) return { says: "A gap that the dilation leaves in the stamp.", light };
  const tap = AXES.map((a) => place[a] / m.s.dilation[a]);
  const found = m.found.find((each) => isAt(each.from, ...from) && isAt(each.tap, ...tap));
  const account = productAccount(m, found);
  footprint(account.light, m, from);
  return account;
}

function matrixAccount(m, [row, column]) {
  const [to, from] = [unflat(m.g.size, row), unflat(m.g.input, column)];
  const tap = matrixTap(m.s, to, from);
  if (!tap) {
    const light = new Light().add("matrix", [row, column]);
    lightInput(light, m, from);
    lightTarget(light, m, toBoard(m, to));
    return {
      says: `Empty: the stamp of ${named("input", from)} does not reach ${named("result", to)}.`,
      light,
    };
  }
  const account = productAccount(m, {
    from, tap, to: toBoard(m, to), value: m.s.input[from[0]][from[1]] * m.s.kernel[tap[0]][tap[1]],
  });
  lightMatrixRow(account.light, m, row);
  return account;
}

function overlapAccount(m, cell) {
  const account = resultAccount(m, cell);
  const found = onBoard(m, ...toBoard(m, cell));
  const cells = found.map((product) => named("input", product.from)).join(", ");
  return {
    says: found.length ? `${named("result", cell)} is reached from ${cells}: ` +
      `${plural(found.length, "product")}.` : `No stamp reaches ${named("result", cell)}: it is 0.`,
    cell,
    light: account.light,
  };
}

// The account of any cell of any view; `stamps` is how many have been added, null for all.
function accountOf(m, view, r, c, stamps = null) {
  if (view === "canvas" && stamps !== null) return partialAccount(m, [r, c], stamps);
  if (view === "result") return resultAccount(m, [r, c]);
  if (view === "answer") return resultAccount(m, unflat(m.g.size, r));
  if (view === "canvas" || view === "frame") return boardAccount(m, [r, c]);
  if (view === "overlap") return overlapAccount(m, [r, c]);
  if (view === "input") return inputAccount(m, [r, c]);
  if (view === "column") return inputAccount(m, unflat(m.g.input, c));
  if (view === "kernel") return kernelAccount(m, [r, c]);
  if (view === "spread") return spreadAccount(m, [r, c]);
  if (view === "whole") return wholeAccount(m, [r, c]);
  if (view === "flipped") return flippedAccount(m, [r, c]);
  if (view === "matrix") return matrixAccount(m, [r, c]);
  return stampAccount(m, Number(view.split("-")[1]), [r, c]);
}

// One term of a sum on its own.
function termAccount(m, term) {
  if (term.product) return productAccount(m, term.product);
  const light = new Light().add("whole", term.place, "factor", term.weight);
  light.add("flipped", term.kernelCell).add("kernel", term.tap);
  return { says: `${term.says} = 0.`, light };
}
