// Predicting: the reader answers first, and a wrong answer is named.

"use strict";

// What was answered since the page was opened; the address keeps only what has been seen.
const quiz = { tried: new Set(), right: 0, asked: 0, verdict: "", isRight: false };

const isAsking = (m, look) => isHidden(m, look, look.at);

function drawQuestion(m, look) {
  const form = byId("question");
  form.hidden = look.ask === "nothing";
  if (form.hidden) return;
  const verdict = element("p", {
    className: `verdict ${quiz.isRight ? "right" : "wrong"}`, textContent: quiz.verdict,
    attributes: { role: "status" },
  });
  form.replaceChildren(...(isAsking(m, look) ? questionLine(look) : [nextLine(m, look)]), verdict);
}

const answerField = (id, label) => element("input", {
  id, className: "answer", type: "text", inputMode: "text", maxLength: 12,
  attributes: { "aria-label": label, autocomplete: "off" },
});

function questionLine(look) {
  const buttons = [
    element("button", { type: "submit", textContent: "Check" }),
    element("button", { type: "button", id: "reveal", textContent: "Show me" }),
  ];
  const fields = look.ask === "value" ?
    [element("label", { htmlFor: "answer", className: "asks" }, "What is ",
      element("b", { textContent: named("result", look.at) }), "?"),
    answerField("answer", `The value of ${named("result", look.at)}`)] :
    [element("label", { htmlFor: "answer", className: "asks" },
      "How many rows and columns come out?"),
      answerField("answer", "Rows of the result"), element("span", {}, "x"),
      answerField("answer-columns", "Columns of the result")];
  return [element("div", { className: "row" }, ...fields, ...buttons)];
}

function nextLine(m, look) {
  const left = m.g.size[0] * m.g.size[1] - look.seen.size;
  const words = look.ask === "size" ? "Change a number for another question." :
    left ? "" : "All cells have been seen: change a number for another round.";
  const button = look.ask === "value" && left ?
    element("button", { type: "button", id: "next", textContent: "Next cell" }) : null;
  const score = element("span", {
    className: "quiet", textContent: `right at once: ${quiz.right} of ${quiz.asked}`,
  });
  return element("div", { className: "row" }, button, words, quiz.asked ? score : null);
}

// The next cell that has not been seen, after the current one.
function nextQuestion(m, look) {
  const count = m.g.size[0] * m.g.size[1];
  const current = flat(m.g.size, look.at);
  for (let i = 1; i <= count; i++) {
    const n = (current + i) % count;
    if (!look.seen.has(n)) return unflat(m.g.size, n);
  }
  return look.at;
}

// ------------------------------------------------------------------ answers

const joined = (mistakes) => mistakes.map(({ says }, i) => (i ? `Or: ${says}` : says)).join(" ");

function judgeValue(m, look, text) {
  const answer = wholeNumber(text, null, "Your answer", -1e12, 1e12);
  const [r, c] = look.at;
  if (answer === m.result[r][c]) return { isRight: true, says: `Right: ${answer}.` };
  const found = diagnoseValue(m.s, r, c, answer);
  const says = found.length ? `Not ${answer}. ${joined(found)}` :
    `Not ${answer}, and no usual mistake gives it. Which input cells reach this cell, and with ` +
    "which kernel cell each?";
  return { isRight: false, says, keys: found.map(({ key }) => key) };
}

function judgeSize(m, texts) {
  const answers = texts.map((text, a) =>
    wholeNumber(text, null, `Your number of ${AXIS_NAMES[a]}`, -1e6, 1e6));
  const { size } = m.g;
  if (answers.every((answer, a) => answer === size[a])) {
    return { isRight: true, says: `Right: ${size.join(" x ")}.` };
  }
  if (answers[0] === size[1] && answers[1] === size[0]) {
    return { isRight: false, says: "Rows and columns changed places.", keys: ["exchanged"] };
  }
  const found = AXES.map((a) => diagnoseSize(m.s, a, answers[a]));
  const says = AXES.map((a) => {
    const side = a ? "Columns" : "Rows";
    if (answers[a] === size[a]) return `${side}: ${answers[a]} is right.`;
    if (!found[a].length) return `${side}: not ${answers[a]}; where does the last stamp end?`;
    return `${side}: not ${answers[a]}; ${found[a].map((mistake) => mistake.says).join(", or ")}.`;
  }).join(" ");
  return { isRight: false, says, keys: found.flat().map(({ key }) => key) };
}

// Judges what stands in the form, and returns whether the question is answered.
function judge(m, look) {
  const key = look.ask === "size" ? "size" : flat(m.g.size, look.at);
  let judged;
  try {
    judged = look.ask === "size" ?
      judgeSize(m, [byId("answer").value, byId("answer-columns").value]) :
      judgeValue(m, look, byId("answer").value);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    Object.assign(quiz, { verdict: problem.message, isRight: false });
    return false;
  }
  if (!quiz.tried.has(key)) {
    quiz.tried.add(key);
    quiz.asked += 1;
    quiz.right += judged.isRight ? 1 : 0;
  }
  Object.assign(quiz, { verdict: judged.says, isRight: judged.isRight });
  return judged.isRight;
}

function giveUp(m, look) {
  const key = look.ask === "size" ? "size" : flat(m.g.size, look.at);
  if (!quiz.tried.has(key)) {
    quiz.tried.add(key);
    quiz.asked += 1;
  }
  const says = look.ask === "size" ? `It is ${m.g.size.join(" x ")}.` :
    `It is ${m.result[look.at[0]][look.at[1]]}.`;
  Object.assign(quiz, { verdict: says, isRight: false });
}
