// The classic mistakes: what comes out if one is made, and what to say about it.

"use strict";

// What all stamps add up to at a place of the board, which may lie beside it.
const boardAt = (s, r, c) => sum(reaching(products(s), r, c));
const framedAt = (s, r, c) => boardAt(s, r + s.padding[0], c + s.padding[1]);

// Each has a key, a sentence, and the value that it gives for a result cell (undefined for none).
const VALUE_MISTAKES = [
  {
    key: "not-flipped",
    says: "The kernel is not flipped: turn it upside down and left to right before you slide it.",
    value: (s, r, c) => framedAt({ ...s, kernel: turned(s.kernel) }, r, c),
  },
  {
    key: "half-flipped",
    says: "The kernel is flipped upside down only: turn it left to right as well.",
    value: (s, r, c) => framedAt({ ...s, kernel: flipColumns(s.kernel) }, r, c),
  },
  {
    key: "half-flipped",
    says: "The kernel is flipped left to right only: turn it upside down as well.",
    value: (s, r, c) => framedAt({ ...s, kernel: flipRows(s.kernel) }, r, c),
  },
  {
    key: "zeros-appended",
    says: "Output padding appended a zero: it uncovers cells that stamps reach like any others.",
    value: (s, r, c) => (isUncovered(s, r, c) ? 0 : undefined),
  },
  {
    key: "overwritten",
    says: "You overwrote where stamps overlap: add them up.",
    value: (s, r, c) => framedProducts(s, r, c).at(-1)?.value,
  },
  {
    key: "overwritten",
    says: "You kept the first stamp where several overlap: add them up.",
    value: (s, r, c) => framedProducts(s, r, c)[0]?.value,
  },
  {
    key: "stride",
    says: "You forgot the stride: neighbouring input cells stamp one stride apart.",
    value: (s, r, c) => framedAt({ ...s, stride: [1, 1] }, r, c),
  },
  {
    key: "stride",
    says: "You inserted as many zeros as the stride: insert one fewer, stride - 1.",
    value: (s, r, c) => framedAt({ ...s, stride: s.stride.map((n) => n + (n > 1)) }, r, c),
  },
  {
    key: "padding-added",
    says: "Padding was added instead of cropped: it cuts rows and columns off the full result.",
    value: (s, r, c) => boardAt(s, r - s.padding[0], c - s.padding[1]),
  },
  {
    key: "padding-ignored",
    says: "You forgot the padding: it cuts off the first rows and columns, so count from there.",
    value: (s, r, c) => boardAt(s, r, c),
  },
  {
    key: "dilation",
    says: "You ignored the dilation: neighbouring kernel cells lie that many cells apart.",
    value: (s, r, c) => framedAt({ ...s, dilation: [1, 1] }, r, c),
  },
  {
    key: "dilation",
    says: "You padded as if the kernel were not dilated: pad by dilation*(k - 1) - padding.",
    value: (s, r, c) => {
      const more = AXES.map((a) => (s.dilation[a] - 1) * (rowsAndColumns(s.kernel)[a] - 1));
      return framedAt(s, r + more[0], c + more[1]);
    },
  },
  {
    key: "output-padding-side",
    says: "Output padding went to the top and left: it goes to the bottom and right.",
    value: (s, r, c) => framedAt(s, r - s.outputPadding[0], c - s.outputPadding[1]),
  },
  {
    key: "convolution",
    says: "That is the convolution, which gathers a window of the input. Here every cell stamps.",
    value: convolvedAt,
  },
  {
    key: "transposed-kernel",
    says: "Rows and columns of the kernel changed places: the flip is no transpose.",
    value: (s, r, c) => framedAt({ ...s, kernel: transposed(s.kernel) }, r, c),
  },
  {
    key: "transposed-input",
    says: "Rows and columns of the input changed places.",
    value: (s, r, c) => framedAt({ ...s, input: transposed(s.input) }, r, c),
  },
  {
    key: "exchanged",
    says: "Input and kernel changed places: the input is spread by the stride, not the kernel.",
    value: (s, r, c) => framedAt({ ...s, input: s.kernel, kernel: s.input }, r, c),
  },
  {
    key: "counted-from-one",
    says: "That is the cell one row up and one column left: rows and columns count from 0.",
    value: (s, r, c) => resultAt(s, r - 1, c - 1),
  },
  {
    key: "row-column",
    says: "That is the cell with row and column exchanged: the row comes first.",
    value: (s, r, c) => resultAt(s, c, r),
  },
];

const framedProducts = (s, r, c) => reaching(products(s), r + s.padding[0], c + s.padding[1]);

function isUncovered(s, r, c) {
  const { size } = geometry(s);
  return r >= size[0] - s.outputPadding[0] || c >= size[1] - s.outputPadding[1];
}

function resultAt(s, r, c) {
  const { size } = geometry(s);
  return r >= 0 && c >= 0 && r < size[0] && c < size[1] ? framedAt(s, r, c) : undefined;
}

function convolvedAt(s, r, c) {
  const { input, kernel, span } = geometry(s);
  const fits = AXES.every((a) =>
    [r, c][a] * s.stride[a] + span[a] < input[a] + 2 * s.padding[a]);
  if (!fits) return undefined;
  let total = 0;
  for (let i = 0; i < kernel[0]; i++) {
    for (let j = 0; j < kernel[1]; j++) {
      const row = r * s.stride[0] + i * s.dilation[0] - s.padding[0];
      const column = c * s.stride[1] + j * s.dilation[1] - s.padding[1];
      total += (s.input[row]?.[column] ?? 0) * s.kernel[i][j];
    }
  }
  return total;
}

// Mistakes inside the sum: one product left out, one sign lost.
function slips(s, r, c) {
  const found = framedProducts(s, r, c);
  const total = sum(found);
  return found.filter((product) => product.value !== 0).flatMap((product) => {
    const factors = factorsText(s, product);
    const slip = [{
      key: "product-missing",
      says: `One product is missing: ${factors} = ${product.value}.`,
      answer: total - product.value,
    }];
    if (s.input[product.from[0]][product.from[1]] < 0 || product.value < 0) {
      slip.push({
        key: "sign",
        says: `A sign is lost: ${factors} = ${product.value}.`,
        answer: total - 2 * product.value,
      });
    }
    return slip;
  });
}

// What a wrong value of a result cell gives away: at most two mistakes, the likeliest first.
function diagnoseValue(s, r, c, answer) {
  const right = framedAt(s, r, c);
  const known = VALUE_MISTAKES.map(({ key, says, value }) =>
    ({ key, says, answer: value(s, r, c) }));
  return [...known, ...slips(s, r, c)]
    .filter((mistake) => mistake.answer === answer && mistake.answer !== right)
    .slice(0, 2);
}

// ------------------------------------------------------------------ sizes

const SIZE_MISTAKES = [
  ["padding-once", "padding is cut off at both sides, so take 2*padding away",
    (h, k, s, p, a, d) => (h - 1) * s - p + d * (k - 1) + a + 1],
  ["padding-added", "padding was added instead of cropped",
    (h, k, s, p, a, d) => (h - 1) * s + 2 * p + d * (k - 1) + a + 1],
  ["padding-ignored", "the padding is forgotten: it cuts cells off at both sides",
    (h, k, s, p, a, d) => (h - 1) * s + d * (k - 1) + a + 1],
  ["stride", "the stride is forgotten: the last stamp begins at (n - 1)*stride",
    (h, k, s, p, a, d) => h - 1 - 2 * p + d * (k - 1) + a + 1],
  ["dilation", "the dilation is ignored: the kernel reaches over dilation*(k - 1) + 1 cells",
    (h, k, s, p, a, d) => (h - 1) * s - 2 * p + k + a],
  ["output-padding-ignored", "the output padding is forgotten: it uncovers that many more",
    (h, k, s, p, a, d) => (h - 1) * s - 2 * p + d * (k - 1) + 1],
  ["stride-too-far", "the last stamp begins at (n - 1)*stride, not n*stride",
    (h, k, s, p, a, d) => h * s - 2 * p + d * (k - 1) + a + 1],
  ["one-missing", "the + 1 is missing: k cells of a kernel reach over dilation*(k - 1) + 1",
    (h, k, s, p, a, d) => (h - 1) * s - 2 * p + d * (k - 1) + a],
  ["convolution", "that is the size of a convolution, which makes maps smaller",
    (h, k, s, p, a, d) => Math.floor((h + 2 * p - d * (k - 1) - 1) / s) + 1],
];

function diagnoseSize(s, axis, answer) {
  const g = geometry(s);
  const numbers = [g.input[axis], g.kernel[axis], s.stride[axis], s.padding[axis],
    s.outputPadding[axis], s.dilation[axis]];
  return SIZE_MISTAKES.map(([key, says, value]) => ({ key, says, answer: value(...numbers) }))
    .filter((mistake) => mistake.answer === answer && answer !== g.size[axis])
    .slice(0, 2);
}
