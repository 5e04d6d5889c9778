// The listeners, and the first drawing.

"use strict";

function listen() {
  listenToFields();
  listenToPointing();
  listenToKeys();
  listenToSteps();
  listenToQuestions();
  window.addEventListener("hashchange", loadAddress);
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    (document.querySelector('.is-result td[tabindex="0"]') ?? byId("answer")).focus();
  });
  new ResizeObserver(() => { drawOutlines(); point(page.pointed); }).observe(byId("views"));
}

function listenToFields() {
  const side = document.querySelector(".side");
  side.addEventListener("input", ({ target }) => {
    if (target.matches("input")) edited(target, 700);
  });
  side.addEventListener("change", ({ target }) => {
    if (target.matches("input")) orProblem(() => checkField(target));
  });
  side.addEventListener("click", ({ target }) => {
    if (target.dataset.nudge) nudge(byId(target.dataset.for), Number(target.dataset.nudge));
  });
  byId("example").addEventListener("change", ({ target }) => loadExample(target.value));
  byId("random").addEventListener("click", loadRandom);
  byId("copy-link").addEventListener("click", ({ target }) => {
    writeAddress();
    copy(location.href, target);
  });
  byId("elsewhere").addEventListener("click", ({ target }) => {
    if (target.dataset.copy) copy(byId(`${target.dataset.copy}-line`).textContent, target);
  });
}

function checkField(field) {
  if (field.id.startsWith("size-")) typedSize(field.id.split("-")[1]);
  else checked(typedTexts());
}

function listenToPointing() {
  const over = ({ target }) => {
    const cell = target.closest?.("[data-view]");
    if (cell) point(cell);
    else if (target.closest?.(".term")) pointAtTerm(target.closest(".term"));
  };
  const out = ({ target, relatedTarget, pointerType }) => {
    if (pointerType === "touch") return; // a finger that is lifted leaves shown what it tapped
    if (target.closest?.(".term")) leaveTerm();
    else if (target.closest?.("[data-view]") && !relatedTarget?.closest?.("[data-view]")) {
      const focused = document.activeElement;
      point(focused?.matches("[data-view]:focus-visible") && target !== focused ? focused : null);
    }
  };
  document.addEventListener("pointerover", over);
  document.addEventListener("pointerout", out);
  document.addEventListener("focusin", (event) => {
    const { target } = event;
    if (target.matches("td[data-view], .term")) makeTabStop(target);
    over(event);
  });
  document.addEventListener("focusout", ({ target, relatedTarget }) => {
    if (target.closest?.(".term")) leaveTerm();
    else if (target.matches?.("[data-view]") && !relatedTarget?.matches?.("[data-view], .term")) {
      point(null);
    }
  });
  byId("views").addEventListener("click", ({ target }) => {
    if (target.matches("td[data-view]")) choose(target);
  });
}

function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.altKey || event.metaKey) return;
    if (target.matches(".number") && (key === "ArrowUp" || key === "ArrowDown")) {
      event.preventDefault();
      nudge(target, key === "ArrowUp" ? 1 : -1);
    } else if (target.matches("input.cell")) moveInEditor(event);
    else if (target.matches("td[data-view]")) keyInTable(event);
    else if (target.matches(".term")) keyInTerms(event);
    else if (target.id === "step" && key === " ") {
      event.preventDefault();
      byId("play").click();
    }
  });
}

function keyInTable(event) {
  const { target, key } = event;
  if (key === "Enter" || key === " ") {
    event.preventDefault();
    choose(target);
    return;
  }
  const next = neighbour(target, key, event.ctrlKey);
  if (!next) return;
  event.preventDefault();
  next.focus();
  if (next.dataset.view === "result") goTo(placeOf(next));
}

function keyInTerms(event) {
  const terms = [...event.target.parentElement.querySelectorAll(".term")];
  const here = terms.indexOf(event.target);
  const to = {
    ArrowLeft: here - 1, ArrowRight: here + 1, ArrowUp: here - 1, ArrowDown: here + 1, Home: 0,
    End: terms.length - 1,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  terms[to]?.focus();
}

function listenToSteps() {
  byId("step").addEventListener("input", ({ target }) => {
    pause();
    page.pointed = null;
    goTo(unflat(page.model.g.size, Number(target.value)));
  });
  byId("play").addEventListener("click", () => (page.player ? pause() : play()));
  byId("zeros").addEventListener("change", ({ target }) => {
    page.look.zeros = target.checked;
    refresh();
  });
  byId("scatter").addEventListener("input", ({ target }) => {
    const count = Number(target.value);
    page.look.stamps = count === Number(target.max) ? null : count;
    byId("stamps-says").textContent = stampsWords(page.model, page.look);
    byId("canvas-box").replaceChildren(canvasTable(page.model, page.look));
    refresh();
    showLastStamp(count);
  });
}

// The input cell that stamped last, and where it did.
function showLastStamp(count) {
  if (!count || isAsking(page.model, page.look)) return;
  const account = inputAccount(page.model, unflat(page.model.g.input, count - 1));
  drawReadout(account);
  showLight(account.light);
}

function listenToQuestions() {
  document.querySelector(".modes").addEventListener("change", ({ target }) => {
    pause();
    page.look.ask = target.value;
    Object.assign(quiz, { verdict: "", isRight: false });
    show(page.model.s, page.look);
    target.focus();
  });
  byId("question").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = [...byId("question").querySelectorAll("input")].map((field) => field.value);
    if (judge(page.model, page.look)) reveal();
    else askAgain(typed);
  });
  byId("question").addEventListener("click", ({ target }) => {
    if (target.id === "reveal") {
      giveUp(page.model, page.look);
      reveal();
    } else if (target.id === "next") {
      goTo(nextQuestion(page.model, page.look));
      byId("answer")?.focus();
    }
  });
}

function askAgain(typed) {
  drawQuestion(page.model, page.look);
  byId("question").querySelectorAll("input").forEach((field, i) => { field.value = typed[i]; });
  byId("answer").focus();
  byId("answer").select();
}

function reveal() {
  const { model: m, look } = page;
  if (look.ask === "size") look.sizeSeen = true;
  else look.seen.add(flat(m.g.size, look.at));
  show(m.s, look);
  (byId("next") ?? document.querySelector("[name=ask]:checked")).focus();
}

function begin() {
  const own = element("option", { value: "", textContent: "your own numbers", hidden: true });
  byId("example").append(own,
    ...EXAMPLES.map(({ key, name }) => element("option", { value: key, textContent: name })));
  const legend = [["inserted", "inserted zero"], ["padding", "padding"],
    ["extra", "output padding"], ["cut", "cut off"], ["lit-factor", "multiplied"],
    ["lit-zero", "in the window, but zero"], ["lit-target", "the sum"]];
  fill("legend", ...legend.map(([className, words]) =>
    element("span", {}, element("i", {
      className: `swatch ${className}`, textContent: className === "cut" ? "0" : "",
    }), words)));
  listen();
  loadAddress();
}

begin();
