// The page "Credit": the selection, and the controls that change it.
//
// Names from users (runs, layers, labels) only ever become text.

import {describe, drawArcs} from "./arcs.js";
import {Series, epochAt, listRuns} from "./data.js";
import {byLag, drawGradients, sayNorm} from "./gradients.js";
import {followReload} from "./reload.js";
import {colors, followTheme, lineStyle} from "./theme.js";

const series = new Series();
const hidden = new Set(); // Names of lines switched off in the legend.
let runs = new Map();
let steps = []; // The epochs of the selection.
let value = null; // The data of the upper picture.
let lines = []; // The data of the lower one.
let hovered = null;
let pinned = null; // By a click or by keys; stays when the pointer leaves.
let drawn = null;
let lagAt = null;
let newest = 0; // Answers to older requests are dropped.

/** Creates an element: `make("p", {className: "note"}, "text", child)`. */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, content] of Object.entries(properties)) {
    if (key in element) element[key] = content;
    else element.setAttribute(key, content);
  }
  element.append(...children);
  return element;
}

const runPicker = make("select", {id: "run"});
const entryPicker = make("select", {id: "entry"});
const slider = make("input", {id: "epoch", type: "range", min: 0, step: 1});
const epochText = make("span", {id: "epoch-text"});
const reloadButton = make("button", {id: "reload", type: "button"}, "Reload");
const arcsNote = make("p", {id: "arcs-note", className: "note"});
const arcsCanvas = make("canvas", {
  id: "arcs",
  tabIndex: 0,
  role: "slider",
  "aria-label": "Step whose reads are shown",
});
const statusText = make("p", {id: "status", className: "status"});
const gradientsNote = make("p", {id: "gradients-note", className: "note"});
const gradientsCanvas = make("canvas", {
  id: "gradients",
  role: "img",
  "aria-label": "Norm of the gradient against the lag",
});
const HELP =
  "Hover over a step, or use the arrow keys on the picture. Click to pin the" +
  " step; press Escape to release it.";
const legend = make("div", {
  id: "legend",
  className: "legend",
  role: "group",
  "aria-label": "Training runs",
});
const lagText = make("p", {id: "lag-text", className: "status"});
const errorText = make("p", {id: "error", className: "error", role: "alert"});
const hint = make(
  "section",
  {id: "hint", hidden: true},
  make("h2", {}, "No data yet"),
  make(
    "p",
    {},
    "The callbacks ",
    make("code", {}, "keras_seqcredit.callbacks.AttentionMap"),
    " and ",
    make("code", {}, "keras_seqcredit.callbacks.CreditAssignment"),
    " write the data for this page. Pass one of them, or both, to ",
    make("code", {}, "model.fit"),
    ", with a folder inside the one that TensorBoard shows.",
  ),
);
const content = make(
  "div",
  {id: "content", hidden: true},
  make(
    "section",
    {"aria-labelledby": "arcs-title"},
    make("h2", {id: "arcs-title"}, "What each step reads"),
    arcsNote,
    statusText,
    arcsCanvas,
  ),
  make(
    "section",
    {id: "gradients-section", "aria-labelledby": "gradients-title"},
    make("h2", {id: "gradients-title"}, "How far gradients reach"),
    gradientsNote,
    legend,
    gradientsCanvas,
    lagText,
  ),
);

/** Builds the page. TensorBoard calls this once. */
export async function render() {
  document.documentElement.lang = "en";
  document.title = "Credit";
  const sheet = make("link", {rel: "stylesheet", href: "./style.css"});
  const styled = new Promise((resolve) => {
    sheet.onload = sheet.onerror = resolve;
  });
  document.head.append(
    make("meta", {
      name: "viewport",
      content: "width=device-width, initial-scale=1",
    }),
    sheet,
  );
  await styled;
  document.body.append(
    make(
      "main",
      {},
      make(
        "form",
        {className: "controls", onsubmit: () => false},
        make("label", {}, "Training run", runPicker),
        make("label", {}, "Layer and example", entryPicker),
        make("label", {className: "epoch"}, epochText, slider),
        reloadButton,
      ),
      errorText,
      hint,
      content,
    ),
  );
  runPicker.onchange = guarded(() => showRun());
  entryPicker.onchange = guarded(() => showEntry());
  slider.oninput = guarded(() => showEpoch());
  reloadButton.onclick = guarded(reload);
  listen();
  followTheme(draw);
  followReload(guarded(reload));
  new ResizeObserver(draw).observe(content);
  await guarded(reload)();
}

/** Shows errors on the page. */
function guarded(action) {
  return async () => {
    try {
      await action();
      errorText.textContent = "";
    } catch (error) {
      errorText.textContent = String(error.message ?? error);
    }
  };
}

async function reload() {
  series.forget();
  runs = await listRuns();
  hint.hidden = runs.size > 0;
  content.hidden = !runs.size;
  for (const control of [runPicker, entryPicker, slider]) {
    control.disabled = !runs.size;
  }
  fillPicker(runPicker, [...runs.keys()]);
  await showRun();
}

/** Offers names, and keeps the selected one if it is still there. */
function fillPicker(picker, names) {
  const chosen = picker.value;
  picker.replaceChildren(
    ...names.map((name) => make("option", {value: name}, name)),
  );
  if (names.includes(chosen)) picker.value = chosen;
}

async function showRun() {
  const entries = runs.get(runPicker.value) ?? new Map();
  fillPicker(entryPicker, [...entries.keys()]);
  await showEntry();
}

async function showEntry() {
  const request = ++newest;
  const entry = runs.get(runPicker.value)?.get(entryPicker.value) ?? {};
  const [reads, gradients] = await Promise.all([
    series.epochs(entry.reads),
    series.epochs(entry.gradients),
  ]);
  if (request !== newest) return;
  const wasLast = !steps.length || Number(slider.value) === steps.length - 1;
  const before = steps[Number(slider.value)];
  steps = [...new Set([...reads, ...gradients].map(({step}) => step))];
  steps.sort((a, b) => a - b);
  slider.max = Math.max(0, steps.length - 1);
  // If the last epoch was selected, it stays the last during training.
  const kept = steps.findLastIndex((step) => step <= before);
  slider.value = wasLast ? slider.max : Math.max(0, kept);
  await showEpoch();
}

async function showEpoch() {
  const request = ++newest;
  const step = steps[Number(slider.value)];
  const which = `Epoch ${step} (counted from 0; ${steps.length} available)`;
  epochText.textContent = step === undefined ? "Epoch" : which;
  slider.setAttribute("aria-valuetext", `epoch ${step}`);
  const entry = runs.get(runPicker.value)?.get(entryPicker.value) ?? {};
  const [reads, gradients] = await Promise.all([
    series.epochs(entry.reads),
    series.epochs(entry.gradients),
  ]);
  const compared = await findLines(entry, step);
  if (request !== newest) return;
  lines = compared;
  value = (epochAt(reads, step) ?? epochAt(gradients, step))?.value ?? null;
  if (pinned !== null && pinned >= (value?.length ?? 0)) pinned = null;
  hovered = null;
  fillLegend();
  draw();
}

/** Gradients of all training runs for the selected example. */
async function findLines(entry, step) {
  const example = entry.name?.split("/").at(-1);
  const found = [];
  for (const [run, entries] of runs) {
    const sources = [...entries.values()].filter(
      ({name, gradients}) => gradients && name.split("/").at(-1) === example,
    );
    for (const {name, gradients} of sources) {
      const layer = name.split("/").slice(0, -1).join("/");
      found.push({
        name: sources.length > 1 ? `${run}, ${layer}` : run,
        bold: gradients === entry.gradients,
        fetched: series.epochs(gradients),
      });
    }
  }
  const epochs = await Promise.all(found.map(({fetched}) => fetched));
  return found.flatMap(({name, bold}, index) => {
    const epoch = epochAt(epochs[index], step);
    if (!epoch) return [];
    const norms = byLag(epoch.value);
    return [{name, index, bold, step: epoch.step, norms}];
  });
}

function fillLegend() {
  const color = colors();
  legend.replaceChildren(
    ...lines.map(({name, index, step}) => {
      const button = make(
        "button",
        {type: "button", "aria-pressed": String(!hidden.has(name))},
        swatch(lineStyle(color, index)),
        `${name} (epoch ${step})`,
      );
      button.onclick = () => {
        if (!hidden.delete(name)) hidden.add(name);
        button.setAttribute("aria-pressed", String(!hidden.has(name)));
        drawLower();
      };
      return button;
    }),
  );
}

function swatch({color, dash}) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "line");
  const attributes = {
    x1: 0, x2: 24, y1: 5, y2: 5, stroke: color, "stroke-width": 2.5,
    "stroke-dasharray": dash.join(" ") || "none",
  };
  for (const [key, content] of Object.entries(attributes)) {
    line.setAttribute(key, content);
  }
  svg.setAttribute("width", 24);
  svg.setAttribute("height", 10);
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  return svg;
}

const chosenStep = () => hovered ?? pinned;

function draw() {
  if (content.hidden || !value) return;
  drawUpper();
  const color = colors();
  [...legend.querySelectorAll("line")].forEach((line, row) => {
    line.setAttribute("stroke", lineStyle(color, lines[row].index).color);
  });
  drawLower();
}

function drawUpper() {
  const chosen = chosenStep();
  drawn = drawArcs(arcsCanvas, value, chosen, colors());
  const {subject, reads, readBy} =
    chosen === null ? {} : describe(value, chosen);
  statusText.replaceChildren();
  if (chosen !== null) {
    statusText.append(subject, reads && " ");
    if (reads) statusText.append(make("span", {className: "reads"}, reads));
    if (readBy) statusText.append(reads ? "; " : " ");
    statusText.append(make("span", {className: "read-by"}, readBy));
  }
  arcsNote.textContent = noteOnArcs(chosen);
  const heard = statusText.textContent || "no step";
  statusText.classList.toggle("note", chosen === null);
  if (chosen === null) statusText.append(HELP);
  for (const [key, content] of Object.entries({
    "aria-valuemin": drawn.scale.first,
    "aria-valuemax": drawn.scale.last,
    "aria-valuenow": chosen ?? drawn.scale.first,
    "aria-valuetext": heard,
    "data-arcs": drawn.drawn,
    "data-step": chosen ?? "",
  })) {
    arcsCanvas.setAttribute(key, content);
  }
}

function noteOnArcs(chosen) {
  if (!value.reads) {
    return "Nothing is known of the reads here: AttentionMap writes them.";
  }
  const color = "wider, stronger arcs mean more attention";
  if (chosen !== null || drawn.drawn === drawn.total) {
    return `${drawn.total} reads of ${value.length} steps; ${color}.`;
  }
  return (
    `The ${drawn.drawn} heaviest of ${drawn.total} reads of ` +
    `${value.length} steps; ${color}.`
  );
}

function drawLower() {
  document.getElementById("gradients-section").hidden = !lines.length;
  if (!lines.length) return;
  const chosen = chosenStep();
  const lag = chosen === null || chosen < 0 ? null : value.length - 1 - chosen;
  const shown = lines.filter(({name}) => !hidden.has(name));
  lagAt = drawGradients(gradientsCanvas, shown, lag, colors());
  const sum = shown.map(({name, norms}) => {
    const zeros = norms.filter((norm) => norm === 0).length;
    return zeros ? `${name} exactly 0 at ${zeros} of ${norms.length} lags` : "";
  });
  gradientsNote.textContent = [
    "Norm of the gradient of the last loss with respect to the state at each" +
      " step, for all training runs",
    ...sum.filter(Boolean),
  ].join("; ");
  lagText.textContent =
    lag === null
      ? ""
      : `lag ${lag}: ` +
        shown.map(({name, norms}) => `${name} ${sayNorm(norms[lag])}`).join("; ");
  gradientsCanvas.setAttribute("data-lines", shown.length);
  gradientsCanvas.setAttribute("data-lag", lag ?? "");
}

/** Handles the pointer and the keys on the pictures. */
function listen() {
  let frame = null;
  const drawSoon = () => {
    frame ??= requestAnimationFrame(() => {
      frame = null;
      draw();
    });
  };
  const hover = (step) => {
    if (step === hovered) return;
    hovered = step;
    drawSoon();
  };
  const stepAtLag = (x) => {
    const step = value.length - 1 - lagAt(x);
    return step < 0 ? null : step;
  };
  arcsCanvas.onpointermove = (event) => {
    if (drawn) hover(drawn.scale.step(event.offsetX));
  };
  gradientsCanvas.onpointermove = (event) => {
    if (lagAt) hover(stepAtLag(event.offsetX));
  };
  for (const canvas of [arcsCanvas, gradientsCanvas]) {
    canvas.onpointerleave = () => hover(null);
    canvas.onclick = () => {
      pinned = pinned === hovered ? null : hovered;
      drawSoon();
    };
  }
  arcsCanvas.onkeydown = (event) => {
    if (!drawn) return;
    const {first, last} = drawn.scale;
    const now = chosenStep();
    const moves = {
      ArrowLeft: (now ?? first + 1) - 1,
      ArrowDown: (now ?? first + 1) - 1,
      ArrowRight: (now ?? first - 1) + 1,
      ArrowUp: (now ?? first - 1) + 1,
      PageDown: (now ?? first) - 10,
      PageUp: (now ?? first) + 10,
      Home: first,
      End: last,
      Escape: null,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const step = moves[event.key];
    hovered = null;
    pinned = step === null ? null : Math.min(Math.max(step, first), last);
    drawSoon();
  };
}
