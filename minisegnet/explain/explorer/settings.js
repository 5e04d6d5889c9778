// What the reader sets: worked examples, limits, the sentences about bad input, the address.

"use strict";

const MOST = {
  input: 8, kernel: 7, stride: 8, padding: 20, dilation: 8, outputPadding: 7,
  cell: 999, results: 400, side: 40,
};
const OPTIONS = [
  // name, words, Python's name, least, what happens without it
  ["stride", "stride", "stride", 1, 1],
  ["padding", "padding", "padding", 0, 0],
  ["dilation", "dilation", "dilation", 1, 1],
  ["outputPadding", "output padding", "output_padding", 0, 0],
];
const MATRICES = ["input", "kernel"];
const AXIS_NAMES = ["rows", "columns"];

const settings = (input, kernel, options = {}) => {
  const s = { input, kernel };
  for (const [name, , , , usual] of OPTIONS) {
    const value = options[name] ?? usual;
    s[name] = Array.isArray(value) ? [...value] : [value, value];
  }
  return s;
};

const NINE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]];
const FIELD = [[2, 5, 1], [3, 7, 4]];
const SIXTEEN = [[2, 1, 4, 3], [5, 7, 0, 6], [1, 8, 2, 9], [3, 4, 6, 5]];

const EXAMPLES = [
  {
    key: "stride-1",
    name: "Stride 1, by hand",
    says: "The smallest case worth doing on paper: a ring of zeros, the flipped kernel, nine sums.",
    settings: settings([[1, 2], [3, 4]], [[1, 0], [1, 1]]),
  },
  {
    key: "scatter",
    name: "Four stamps",
    says: "Each input cell stamps the kernel, times its value; where stamps overlap, they add up.",
    settings: settings([[0, 2], [3, 1]], [[0, 1], [2, 3]]),
  },
  {
    key: "output-padding",
    name: "Output padding uncovers",
    says: "One cell, stride 2, padding 1, output padding 1: what appears is a part of the " +
      "kernel, not zeros.",
    settings: settings([[2]], NINE, { stride: 2, padding: 1, outputPadding: 1 }),
  },
  {
    key: "everything",
    name: "Everything at once",
    says: "Nothing is square and every option is at work; check one cell on paper.",
    settings: settings([[2, -1, 3], [4, 5, 1]], [[1, -2, 3], [0, 4, 5]], {
      stride: [1, 2], padding: 1, dilation: [2, 1], outputPadding: 1,
    }),
  },
  {
    key: "dilation",
    name: "Dilation 2",
    says: "Dilation leaves gaps in the stamp, and the recipe pads by more.",
    settings: settings([[1, 2, 5], [3, 4, 0]], [[1, 2], [3, 4]], { padding: 1, dilation: 2 }),
  },
  {
    key: "crop",
    name: "Negative padding crops",
    says: "With more padding than the kernel reaches, step 2 cuts into the input itself.",
    settings: settings([[1, 2, 3], [5, 6, 7], [9, 1, 4], [2, 8, 0]], [[1, 2], [3, 5]], {
      stride: 2, padding: 2,
    }),
  },
  {
    key: "nearest",
    name: "Nearest neighbour",
    says: "A kernel of ones as large as the stride repeats each value: a 2x2 block for every cell.",
    settings: settings([[1, 3], [2, 0]], [[1, 1], [1, 1]], { stride: 2 }),
  },
  {
    key: "bed-of-nails",
    name: "Bed of nails",
    says: "A kernel of a single 1 only inserts zeros; output padding completes the last block.",
    settings: settings([[1, 4], [3, 2]], [[1]], { stride: 2, outputPadding: 1 }),
  },
  {
    key: "k2s2",
    name: "Overlap: kernel 2, stride 2",
    says: "The count is 1 everywhere: stamps lie side by side.",
    settings: settings(FIELD, [[1, 2], [3, 4]], { stride: 2 }),
  },
  {
    key: "k3s2",
    name: "Overlap: kernel 3, stride 2",
    says: "3 is not divisible by 2: counts of 1, 2 and 4 draw a checkerboard before any training.",
    settings: settings(FIELD, NINE, { stride: 2 }),
  },
  {
    key: "k4s2",
    name: "Overlap: kernel 4, stride 2",
    says: "4 is divisible by 2: away from the border every cell gets four products.",
    settings: settings(FIELD, SIXTEEN, { stride: 2, padding: 1 }),
  },
  {
    key: "k5s2",
    name: "Overlap: kernel 5, stride 2",
    says: "5 is not divisible by 2, but 4 to 9 is a smaller ratio than 1 to 4.",
    settings: settings(FIELD, [...SIXTEEN, [7, 2, 1, 4]].map((row, i) => [...row, 9 - i]), {
      stride: 2, padding: 2,
    }),
  },
  {
    key: "k4s3",
    name: "Overlap: kernel 4, stride 3",
    says: "One more than the stride: every third row and column is reached twice.",
    settings: settings(FIELD, SIXTEEN, { stride: 3 }),
  },
];

// ------------------------------------------------------------------ bad input

// A problem says which field it is about, and one sentence for the reader.
class Problem extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

const quoted = (text) => (text.length > 12 ? `${text.slice(0, 12)}...` : text);

function wholeNumber(text, field, what, low, high) {
  const clean = String(text).trim().replace("\u2212", "-");
  const range = `give a whole number from ${low} to ${high}`;
  if (clean === "") throw new Problem(field, `${what} is empty: ${range}.`);
  const value = /^[+-]?\d+$/.test(clean) ? Number(clean) : NaN;
  if (Number.isNaN(value) || value < low || value > high) {
    throw new Problem(field, `${what} is ${quoted(clean)}: ${range}.`);
  }
  return value + 0;
}

// From texts, as typed, to settings; throws a Problem about the first that is wrong.
function checked(texts) {
  const s = {};
  for (const name of MATRICES) {
    s[name] = texts[name].map((row, r) => row.map((text, c) =>
      wholeNumber(text, `${name}-${r}-${c}`, `Cell [${r}, ${c}] of the ${name}`,
        -MOST.cell, MOST.cell)));
  }
  for (const [name, words, , least] of OPTIONS) {
    s[name] = texts[name].map((text, a) =>
      wholeNumber(text, `${name}-${a}`, `The ${words} of the ${AXIS_NAMES[a]}`, least, MOST[name]));
  }
  refuseWhatDoesNotFit(s);
  return s;
}

function refuseWhatDoesNotFit(s) {
  const { size, padded, board } = geometry(s);
  for (const a of AXES) {
    const [extra, stride, dilation] = [s.outputPadding[a], s.stride[a], s.dilation[a]];
    if (extra >= Math.max(stride, dilation)) {
      throw new Problem(`outputPadding-${a}`,
        `The output padding of the ${AXIS_NAMES[a]} is ${extra}: it must be smaller than the ` +
        `stride ${stride} or the dilation ${dilation}.`);
    }
  }
  for (const a of AXES) {
    if (size[a] < 1) {
      throw new Problem(`padding-${a}`,
        `No ${AXIS_NAMES[a]} are left: ${sizeEquation(s, a)} = ${size[a]}; take less padding or ` +
        "a larger input.");
    }
  }
  for (const a of AXES) {
    const longest = Math.max(padded[a], board[a]);
    if (longest > MOST.side) {
      throw new Problem(`stride-${a}`,
        `There would be ${longest} padded ${AXIS_NAMES[a]}, more than the ${MOST.side} that fit ` +
        "here: take a smaller input, stride or dilation.");
    }
  }
  if (size[0] * size[1] > MOST.results) {
    throw new Problem("stride-0",
      `The result would have ${size[0]} x ${size[1]} = ${size[0] * size[1]} cells, more than the ` +
      `${MOST.results} that fit here: take a smaller input or stride.`);
  }
}

// ------------------------------------------------------------------ random numbers

const randomBelow = (n) => Math.floor(Math.random() * n);

// Different numbers as far as they go, so that no flip or exchange can hide.
function randomMatrix(size, low, high) {
  const all = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  let left = [];
  return table(size, () => {
    if (left.length === 0) left = [...all];
    return left.splice(randomBelow(left.length), 1)[0];
  });
}

function randomAsymmetric(size, low, high) {
  const isTelling = (m) => size[0] * size[1] === 1 ? m[0][0] !== 0 :
    [turned(m), ...(size[0] > 1 ? [flipRows(m)] : []), ...(size[1] > 1 ? [flipColumns(m)] : []),
      ...(size[0] === size[1] ? [transposed(m)] : [])].every((other) => `${other}` !== `${m}`);
  for (;;) {
    const matrix = randomMatrix(size, low, high);
    if (isTelling(matrix)) return matrix;
  }
}

// ------------------------------------------------------------------ the address

const matrixText = (matrix) => matrix.map((row) => row.join(",")).join(";");
const pairText = ([rows, columns]) => (rows === columns ? `${rows}` : `${rows},${columns}`);

function toFragment(s, look) {
  const parts = MATRICES.map((name) => [name, matrixText(s[name])]);
  for (const [name, , python, , usual] of OPTIONS) {
    if (s[name].some((value) => value !== usual)) parts.push([python, pairText(s[name])]);
  }
  parts.push(["at", look.at.join(",")]);
  if (look.stamps !== null) parts.push(["stamps", look.stamps]);
  if (look.zeros !== null) parts.push(["zeros", look.zeros ? "yes" : "no"]);
  if (look.ask !== "nothing") parts.push(["ask", look.ask]);
  if (look.seen.size) parts.push(["seen", [...look.seen].sort((a, b) => a - b).join(",")]);
  if (look.sizeSeen) parts.push(["size", "seen"]);
  return "#" + parts.map(([key, value]) => `${key}=${value}`).join("&");
}

// Texts as `checked` takes them, and what the reader was looking at; throws a Problem.
function fromFragment(fragment) {
  const given = new Map(decodeURIComponent(fragment.replace(/^#/, "")).split("&")
    .map((part) => [part.split("=")[0], part.split("=").slice(1).join("=")]));
  const texts = {};
  for (const name of MATRICES) {
    if (!given.has(name)) throw new Problem(null, `the ${name} is missing`);
    const rows = given.get(name).split(";").map((row) => row.split(","));
    const [height, width] = [rows.length, rows[0].length];
    if (rows.some((row) => row.length !== width)) {
      throw new Problem(null, `the rows of the ${name} differ in length`);
    }
    if (Math.max(height, width) > MOST[name]) {
      throw new Problem(null, `the ${name} is larger than ${MOST[name]} x ${MOST[name]}`);
    }
    texts[name] = rows;
  }
  for (const [name, words, python, , usual] of OPTIONS) {
    const values = (given.get(python) ?? `${usual}`).split(",");
    if (values.length > 2) throw new Problem(null, `the ${words} is no pair`);
    texts[name] = values.length === 2 ? values : [values[0], values[0]];
  }
  const s = checked(texts);
  return { settings: s, look: lookFrom(given, s) };
}

function lookFrom(given, s) {
  const { size, input } = geometry(s);
  const number = (text, high) => wholeNumber(text, null, "a number in it", 0, high);
  const at = (given.get("at") ?? "0,0").split(",").map((text, a) => number(text, size[a] - 1));
  if (at.length !== 2) throw new Problem(null, "the cell is no pair");
  const ask = given.get("ask") ?? "nothing";
  if (!["nothing", "value", "size"].includes(ask)) {
    throw new Problem(null, "it asks for nothing known");
  }
  const seen = (given.get("seen") ?? "").split(",").filter(Boolean);
  return {
    at,
    ask,
    stamps: given.has("stamps") ? number(given.get("stamps"), input[0] * input[1]) : null,
    zeros: given.has("zeros") ? given.get("zeros") === "yes" : null,
    seen: new Set(seen.map((text) => number(text, size[0] * size[1] - 1))),
    sizeSeen: given.get("size") === "seen",
  };
}

// What the reader looks at: the cell, the question, how many stamps (null: all), whether sums show
// the recipe's zeros (null: if the kernel is small), the cells and the size that were answered.
const freshLook = () => ({
  at: [0, 0], ask: "nothing", stamps: null, zeros: null, seen: new Set(), sizeSeen: false,
});

// ------------------------------------------------------------------ the same elsewhere

const nested = (matrix) => `[${matrix.map((row) => `[${row.join(", ")}]`).join(", ")}]`;

function pythonLine(s) {
  const options = OPTIONS.filter(([name, , , , usual]) => s[name].some((value) => value !== usual))
    .map(([name, , python]) =>
      `, ${python}=${s[name][0] === s[name][1] ? s[name][0] : `(${s[name].join(", ")})`}`);
  return `F.conv_transpose2d(ms.tensor([[${nested(s.input)}]]), ` +
    `ms.tensor([[${nested(s.kernel)}]])${options.join("")})`;
}

function terminalLine(s, at) {
  const typed = (matrix) => `"${matrix.map((row) => row.join(" ")).join("; ")}"`;
  const options = OPTIONS.filter(([name, , , , usual]) => s[name].some((value) => value !== usual))
    .map(([name, , python]) => ` --${python.replace("_", "-")} ${pairText(s[name])}`);
  return `minisegnet explain conv-transpose --input ${typed(s.input)} --kernel ${typed(s.kernel)}` +
    `${options.join("")} --at ${at.join(",")}`;
}
