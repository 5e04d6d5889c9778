// Transposed convolution of one map by one kernel, in whole numbers: sizes, products, tables.
//
// Everything is counted from 0, and pairs are [rows, columns]. The *board* is the full result,
// before padding cuts rows and columns off and output padding uncovers some again.

"use strict";

const AXES = [0, 1];

const rowsAndColumns = (matrix) => [matrix.length, matrix[0].length];
const table = (size, value) =>
  Array.from({ length: size[0] }, (_, r) => Array.from({ length: size[1] }, (_, c) => value(r, c)));
const flipRows = (matrix) => [...matrix].reverse();
const flipColumns = (matrix) => matrix.map((row) => [...row].reverse());
const turned = (matrix) => flipColumns(flipRows(matrix));
const transposed = (matrix) =>
  table([matrix[0].length, matrix.length], (r, c) => matrix[c][r]);

// All lengths along both axes, each with its own name.
function geometry(s) {
  const input = rowsAndColumns(s.input);
  const kernel = rowsAndColumns(s.kernel);
  const per = (length) => AXES.map(length);
  const span = per((a) => s.dilation[a] * (kernel[a] - 1)); // the kernel reaches span + 1 cells
  const spread = per((a) => (input[a] - 1) * s.stride[a] + 1);
  const stamped = per((a) => spread[a] + span[a]);
  const size = per((a) => stamped[a] - 2 * s.padding[a] + s.outputPadding[a]);
  const before = per((a) => span[a] - s.padding[a]); // less than 0 crops
  const after = per((a) => before[a] + s.outputPadding[a]);
  return {
    input, kernel, span, spread, stamped, size, before, after,
    board: per((a) => Math.max(stamped[a], s.padding[a] + size[a])),
    // The padded input, together with what is cut off it; `first` is where the rest begins.
    whole: per((a) => spread[a] + Math.max(before[a], 0) + Math.max(after[a], 0)),
    shift: per((a) => Math.max(before[a], 0)),
    first: per((a) => Math.max(-before[a], 0)),
    padded: per((a) => size[a] + span[a]),
  };
}

function sizeEquation(s, axis) {
  const g = geometry(s);
  const [n, k] = [g.input[axis], g.kernel[axis]];
  return `(${n} - 1)*${s.stride[axis]} - 2*${s.padding[axis]} + ${s.dilation[axis]}*(${k} - 1)` +
    ` + ${s.outputPadding[axis]} + 1`;
}

// Every product: input cell `from`, kernel cell `tap`, and the board cell `to` that it is added to.
function products(s) {
  const [[rows, columns], [kernelRows, kernelColumns]] =
    [rowsAndColumns(s.input), rowsAndColumns(s.kernel)];
  const found = [];
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      for (let i = 0; i < kernelRows; i++) {
        for (let j = 0; j < kernelColumns; j++) {
          found.push({
            from: [r, c],
            tap: [i, j],
            to: [r * s.stride[0] + i * s.dilation[0], c * s.stride[1] + j * s.dilation[1]],
            value: s.input[r][c] * s.kernel[i][j] + 0, // no -0
          });
        }
      }
    }
  }
  return found;
}

// A factor as it is written in a product: negative ones in brackets.
const factor = (value) => (value < 0 ? `(${value})` : `${value}`);
const factorsText = (s, { from, tap }) =>
  `${factor(s.input[from[0]][from[1]])}*${factor(s.kernel[tap[0]][tap[1]])}`;
const isAt = (cell, r, c) => cell[0] === r && cell[1] === c;
const reaching = (found, r, c) => found.filter((product) => isAt(product.to, r, c));
const sum = (found) => found.reduce((total, product) => total + product.value, 0);

// The board after the stamps of the first `count` input cells, read row by row.
function stampedBoard(s, count = Infinity) {
  const g = geometry(s);
  const board = table(g.board, () => 0);
  for (const product of products(s)) {
    if (product.from[0] * g.input[1] + product.from[1] < count) {
      board[product.to[0]][product.to[1]] += product.value;
    }
  }
  return board;
}

// The transposed convolution: what the frame shows of the board.
function convTranspose2d(s) {
  const board = stampedBoard(s);
  return table(geometry(s).size, (r, c) => board[r + s.padding[0]][c + s.padding[1]]);
}

// ------------------------------------------------------------------ the recipe

function insertZeros(s) {
  return table(geometry(s).spread, (r, c) => {
    const isReal = r % s.stride[0] === 0 && c % s.stride[1] === 0;
    return isReal ? s.input[r / s.stride[0]][c / s.stride[1]] : 0;
  });
}

// What stands at a cell of the padded input: its kind, its value, and the input cell if it is one.
// Cells that are cut off have an index too, so that they can be shown outside of the frame.
function wholeCell(s, g, r, c) {
  const place = [r - g.shift[0], c - g.shift[1]];
  const padded = [r - g.first[0], c - g.first[1]];
  const isCut = AXES.some((a) => padded[a] < 0 || padded[a] >= g.padded[a]);
  const isSpread = AXES.every((a) => place[a] >= 0 && place[a] < g.spread[a]);
  let kind = "padding";
  if (isSpread) {
    const isReal = AXES.every((a) => place[a] % s.stride[a] === 0);
    kind = isReal ? "input" : "inserted";
  } else if (AXES.some((a) => padded[a] >= g.padded[a] - s.outputPadding[a])) {
    kind = "extra";
  }
  const from = kind === "input" ? AXES.map((a) => place[a] / s.stride[a]) : null;
  const value = from ? s.input[from[0]][from[1]] : 0;
  return { kind, isCut, value, from, place: isSpread ? place : null };
}

// The terms of one result cell in the order in which the flipped kernel reads its window.
function windowTerms(s, r, c) {
  const g = geometry(s);
  return table(g.kernel, (i, j) => {
    const place = [
      g.first[0] + r + i * s.dilation[0],
      g.first[1] + c + j * s.dilation[1],
    ];
    const tap = [g.kernel[0] - 1 - i, g.kernel[1] - 1 - j];
    const cell = wholeCell(s, g, ...place);
    const weight = s.kernel[tap[0]][tap[1]];
    return { place, tap, flipped: [i, j], cell, weight, value: cell.value * weight };
  }).flat();
}

// ------------------------------------------------------------------ the matrix

// Which kernel cell leads from an input cell to a result cell; null where none does.
function matrixTap(s, to, from) {
  const tap = AXES.map((a) => (to[a] + s.padding[a] - from[a] * s.stride[a]) / s.dilation[a]);
  const kernel = rowsAndColumns(s.kernel);
  const fits = AXES.every((a) => Number.isInteger(tap[a]) && tap[a] >= 0 && tap[a] < kernel[a]);
  return fits ? tap : null;
}

// ------------------------------------------------------------------ overlap

// How many input cells reach each result cell.
function overlapCounts(s) {
  const found = products(s);
  return table(geometry(s).size, (r, c) =>
    reaching(found, r + s.padding[0], c + s.padding[1]).length);
}

// The smallest and the largest count away from the border, where the pattern repeats.
function overlapInside(s) {
  const [lows, highs] = [[], []];
  for (const a of AXES) {
    const counts = new Array(s.stride[a]).fill(0);
    for (let i = 0; i < geometry(s).kernel[a]; i++) counts[(i * s.dilation[a]) % s.stride[a]]++;
    lows.push(Math.min(...counts));
    highs.push(Math.max(...counts));
  }
  return { low: lows[0] * lows[1], high: highs[0] * highs[1] };
}
