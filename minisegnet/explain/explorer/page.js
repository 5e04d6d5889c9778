// The page: what happens when something is typed, pressed, pointed at, or opened by its address.

"use strict";

const MOST_TERMS_WITH_ZEROS = 9;

const page = {
  model: null,
  look: freshLook(),
  pointed: null, // the cell that the mouse or the focus is on
  player: null,
  addressTimer: null,
  problemTimer: null,
  speechTimer: null,
};

// ------------------------------------------------------------------ showing

// Takes settings that have been checked, and draws everything that depends on them.
function show(s, look) {
  page.model = modelOf(s);
  page.look = look;
  showProblem(null);
  drawEquations();
  drawViews(page.model, look);
  byId("step").max = page.model.g.size[0] * page.model.g.size[1] - 1;
  for (const field of document.querySelectorAll("input.number")) {
    field.setAttribute("aria-valuenow", field.value);
  }
  refresh();
}

// Everything that depends on the current cell and on what is a question.
function refresh() {
  const { model: m, look } = page;
  const isAsked = isAsking(m, look);
  document.body.classList.toggle("veiled", isAsked);
  document.body.classList.toggle("asks-size", isAsked && look.ask === "size");
  for (const radio of document.querySelectorAll("[name=ask]")) {
    radio.checked = radio.value === look.ask;
  }
  byId("zeros").checked = showsZeros();
  const number = flat(m.g.size, look.at);
  byId("step").value = number;
  byId("step").setAttribute("aria-valuetext", `row ${look.at[0]}, column ${look.at[1]}: ` +
    (isAsked ? "to be predicted" : m.result[look.at[0]][look.at[1]]));
  byId("step-says").textContent = `cell ${number + 1} of ${m.g.size[0] * m.g.size[1]}`;
  byId("play").disabled = look.ask !== "nothing";
  markCurrent();
  drawQuestion(m, look);
  drawOutlines();
  point(page.pointed);
  rememberInAddress();
}

function showsZeros() {
  const [rows, columns] = page.model.g.kernel;
  return page.look.zeros ?? rows * columns <= MOST_TERMS_WITH_ZEROS;
}

function drawOutlines() {
  const { model: m } = page;
  if ([...m.g.before, ...m.g.after].some((n) => n < 0)) frameWhole(m);
  outline("frame", "frame", m.s.padding, AXES.map((a) => m.s.padding[a] + m.g.size[a] - 1));
}

function markCurrent() {
  const { model: m, look } = page;
  for (const cell of document.querySelectorAll(".current")) cell.classList.remove("current");
  const board = toBoard(m, look.at);
  const corner = AXES.map((a) => m.g.first[a] + look.at[a]);
  const places = [["result", look.at], ["overlap", look.at], ["frame", board], ["canvas", board],
    ["answer", [flat(m.g.size, look.at), 0]]];
  for (const [view, place] of places) {
    const cell = cellAt(view, ...place);
    if (!cell) continue;
    cell.classList.add("current");
    bringIntoBox(cell, view !== "answer");
    if (!cell.closest("table").contains(document.activeElement)) makeTabStop(cell);
  }
  bringIntoBox(cellAt("whole", ...AXES.map((a) => corner[a] + m.g.span[a])));
  bringIntoBox(cellAt("whole", ...corner));
}

function drawEquations() {
  const { s, g } = page.model;
  byId("equations").replaceChildren(...AXES.flatMap((a) => [
    element("dt", { textContent: AXIS_NAMES[a] }),
    element("dd", {}, ...unbroken(`${sizeEquation(s, a)} = `),
      element("b", { textContent: g.size[a], className: "total" })),
  ]));
}

// A sum that is broken in front of its signs only, never inside of brackets.
const unbroken = (text) => text.split(/ (?=[+-] (?!\d+\)))/).flatMap((part, i) =>
  [...(i ? [" "] : []), element("span", { textContent: part })]);

// ------------------------------------------------------------------ pointing

// While something cannot be shown, the fields may hold cells that the views do not have.
function isInModel(cell) {
  const { view, r, c } = cell.dataset;
  return !MATRICES.includes(view) || page.model.s[view][r]?.[c] !== undefined;
}

// Shows the account of a cell: that of the current one where none is pointed at.
function point(cell) {
  const { model: m, look } = page;
  page.pointed = cell?.isConnected && isInModel(cell) ? cell : null;
  if (isAsking(m, look)) {
    clearLight();
    byId("readout").replaceChildren();
    return;
  }
  let account = accountOf(m, "result", ...look.at);
  if (page.pointed) {
    const there = accountOf(m, page.pointed.dataset.view, ...placeOf(page.pointed), look.stamps);
    const asked = there.cell && isHidden(m, look, there.cell);
    account = !asked ? there :
      { says: `${named("result", there.cell)} is still a question.`, light: new Light() };
  }
  drawReadout(account);
  showLight(account.light);
}

// For those who listen: the sum without its zeros, once the reader has come to rest.
function speak(account) {
  clearTimeout(page.speechTimer);
  if (page.player) return;
  const real = account.terms?.filter((term) => !term.isZero) ?? [];
  const words = account.says ?? `${account.name} = ` +
    `${real.map((term) => `${term.left}*${term.right}`).join(" + ") || 0} = ${account.total + 0}.`;
  page.speechTimer = setTimeout(() => {
    byId("spoken").textContent = `${words} ${account.note ?? ""}`;
  }, 400);
}

function drawReadout(account) {
  speak(account);
  const note = element("div", { className: "detail", textContent: account.note ?? "" });
  if (account.says) {
    const says = element("div", { className: "says", textContent: account.says });
    byId("readout").replaceChildren(says, note);
    return;
  }
  const shown = account.terms.filter((term) => showsZeros() || !term.isZero);
  const terms = shown.flatMap((term, i) => {
    const button = element("button", {
      type: "button", className: `term${term.isZero ? " zero" : ""}`, tabIndex: i ? -1 : 0,
      attributes: { "aria-label": `${term.left} times ${term.right}: ${term.says}` },
    }, element("span", { className: "of-input", textContent: term.left }), "*",
    element("span", { className: "of-kernel", textContent: term.right }));
    button.term = term;
    return i ? [" + ", button] : [button];
  });
  const name = element("span", { className: "name", textContent: account.name });
  const group = element("span", {
    className: "terms", attributes: { role: "group", "aria-label": "products" },
  }, ...(terms.length ? terms : ["0"]));
  const total = element("b", { className: "total", textContent: account.total + 0 });
  byId("readout").replaceChildren(
    element("div", { className: "sum" }, name, " = ", group, " = ", total), note);
  byId("readout").account = account;
}

function pointAtTerm(button) {
  const account = termAccount(page.model, button.term);
  showLight(account.light);
  byId("readout").querySelector(".detail").textContent = account.says;
}

function leaveTerm() {
  const { account } = byId("readout");
  const note = byId("readout").querySelector(".detail");
  if (!account || !note) return;
  note.textContent = account.note ?? "";
  showLight(account.light);
}

// ------------------------------------------------------------------ moving

function goTo(cell) {
  const { model: m, look } = page;
  if (!isAt(cell, ...look.at)) Object.assign(quiz, { verdict: "", isRight: false });
  look.at = cell;
  redrawAround();
}

// What shows only a part that belongs to the current cell is drawn again; the focus stays.
function redrawAround() {
  const { model: m, look } = page;
  keepingFocus(() => {
    if (m.g.input[0] * m.g.input[1] > MOST_STAMPS_AT_ONCE) {
      byId("stamp-box").replaceChildren(...stampTables(m, look));
    } else {
      markStamps();
    }
    if (isLargeMatrix(m)) drawMatrix(m, look);
    drawElsewhere(m, look);
  });
  refresh();
}

function markStamps() {
  const { model: m, look } = page;
  const here = new Set(onBoard(m, ...toBoard(m, look.at)).map(({ from }) => flat(m.g.input, from)));
  for (const panel of document.querySelectorAll("#stamp-box .stamp")) {
    const view = panel.querySelector("[data-view]").dataset.view;
    panel.classList.toggle("elsewhere", !here.has(Number(view.split("-")[1])));
  }
}

function keepingFocus(draw) {
  const focused = document.activeElement;
  const { view, r, c } = focused?.dataset ?? {};
  const id = focused?.id;
  draw();
  if (focused?.isConnected) return;
  (view ? cellAt(view, r, c) : id ? byId(id) : null)?.focus({ preventScroll: true });
}

const resultOf = (cell) => {
  const { model: m } = page;
  const { view } = cell.dataset;
  if (view === "result" || view === "overlap") return placeOf(cell);
  if (view === "answer") return unflat(m.g.size, Number(cell.dataset.r));
  if (view !== "frame" && view !== "canvas") return null;
  const place = toResult(m, placeOf(cell));
  return isResult(m, place) ? place : null;
};

function choose(cell) {
  const place = resultOf(cell);
  if (place) goTo(place);
}

// ------------------------------------------------------------------ playing

function play() {
  const last = Number(byId("step").max);
  if (Number(byId("step").value) === last) goTo([0, 0]);
  page.pointed = null;
  page.player = setInterval(() => {
    const next = flat(page.model.g.size, page.look.at) + 1;
    if (next > last) pause();
    else goTo(unflat(page.model.g.size, next));
  }, 900);
  showPlaying();
}

function pause() {
  clearInterval(page.player);
  page.player = null;
  showPlaying();
}

function showPlaying() {
  const word = page.player ? "Pause" : "Play";
  byId("play").setAttribute("aria-label", word);
  byId("play").title = word;
  byId("play").classList.toggle("playing", page.player !== null);
}

// ------------------------------------------------------------------ typing

function showProblem(problem) {
  clearTimeout(page.problemTimer);
  for (const field of document.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
  byId("problem").hidden = problem === null;
  byId("problem").textContent = problem?.message ?? "";
  document.body.classList.toggle("stale", problem !== null);
  const field = problem?.field ? byId(problem.field) : null;
  field?.setAttribute("aria-invalid", "true");
  field?.setAttribute("aria-describedby", "problem");
}

// Runs something that may throw a Problem; `patience` in ms before the reader hears of it.
function orProblem(attempt, patience = 0) {
  clearTimeout(page.problemTimer);
  try {
    attempt();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (patience) page.problemTimer = setTimeout(() => showProblem(problem), patience);
    else showProblem(problem);
  }
}

// Other numbers make other questions; the cell stays where it is, as far as it is still there.
function showTyped() {
  const s = checked(typedTexts());
  const { size } = geometry(s);
  const { ask, zeros, at } = page.look;
  pause();
  page.pointed = document.activeElement?.dataset?.view ? document.activeElement : null;
  forget();
  show(s, { ...freshLook(), ask, zeros, at: AXES.map((a) => Math.min(at[a], size[a] - 1)) });
}

function forget() {
  quiz.tried.clear();
  Object.assign(quiz, { verdict: "", isRight: false });
}

function resize(field) {
  const name = field.id.split("-")[1];
  const size = typedSize(name);
  const texts = typedTexts();
  texts[name] = resized(texts[name], size);
  keepingFocus(() => drawEditors(texts));
  showTyped();
}

function edited(field, patience) {
  byId("example").value = "";
  byId("example-says").textContent = "";
  orProblem(() => (field.id.startsWith("size-") ? resize(field) : showTyped()), patience);
}

function load(s, look = freshLook()) {
  pause();
  page.pointed = null;
  forget();
  drawEditors(s);
  show(s, look);
}

function loadExample(key) {
  const example = EXAMPLES.find((each) => each.key === key) ?? EXAMPLES[0];
  byId("example").value = example.key;
  byId("example-says").textContent = example.says;
  const { ask, zeros } = page.look;
  const at = geometry(example.settings).size.map((n) => Math.floor(n / 2));
  load(example.settings, { ...freshLook(), ask, zeros, at });
}

function loadRandom() {
  const { s, g } = page.model;
  const matrices = {
    input: randomAsymmetric(g.input, 1, 9), kernel: randomAsymmetric(g.kernel, -4, 9),
  };
  byId("example").value = "";
  byId("example-says").textContent = "Random numbers, none of them symmetric.";
  const { ask, zeros } = page.look;
  load({ ...s, ...matrices }, { ...freshLook(), ask, zeros });
}

// ------------------------------------------------------------------ the address

function rememberInAddress() {
  clearTimeout(page.addressTimer);
  page.addressTimer = setTimeout(writeAddress, 150);
}

function writeAddress() {
  clearTimeout(page.addressTimer);
  history.replaceState(null, "", toFragment(page.model.s, page.look));
}

function loadAddress() {
  if (location.hash.length < 2) return loadExample(EXAMPLES[0].key);
  try {
    const { settings: s, look } = fromFragment(location.hash);
    const same = EXAMPLES.find((each) => JSON.stringify(each.settings) === JSON.stringify(s));
    byId("example").value = same?.key ?? "";
    byId("example-says").textContent = same?.says ?? "";
    return load(s, look);
  } catch (problem) {
    if (!(problem instanceof Problem) && !(problem instanceof URIError)) throw problem;
    loadExample(EXAMPLES[0].key);
    const why = problem.message.replace(/\.$/, "");
    return showProblem(new Problem(null,
      `This link cannot be read (${why}): here is an example instead.`));
  }
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy"); // for browsers that keep the clipboard from local files
    area.remove();
    button.focus();
  }
  const before = button.dataset.words ?? button.textContent;
  button.dataset.words = before;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}
