// Arcs from each step to the steps it reads, over a row of steps.

import {startDrawing, ticks} from "./canvas.js";

const START = -1; // The state before the first step.
const MAX_ARCS = 1500;
const ARCS_HEIGHT = 250;
const STRIP_HEIGHT = 16;
const MARGIN = 14;
const LONGEST_LABEL = 72;

/** Makes whitespace visible. */
const visible = (label) =>
  label.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^\s+$/, "␣");

/** The x axis: steps, preceded by the start if any step reads it. */
export class Scale {
  constructor(length, hasStart, width) {
    this.first = hasStart ? START : 0;
    this.last = length - 1;
    this.cell = (width - 2 * MARGIN) / (length - this.first);
  }

  x(step) {
    return MARGIN + (step - this.first + 0.5) * this.cell;
  }

  step(x) {
    const step = Math.floor((x - MARGIN) / this.cell) + this.first;
    return Math.min(Math.max(step, this.first), this.last);
  }
}

/** Draws and returns `{scale, drawn, total}`, with numbers of arcs. */
export function drawArcs(canvas, value, chosen, color) {
  const reads = (value.reads ?? []).filter(([, , weight]) => weight > 0);
  const hasStart = reads.some(([, read]) => read === START);
  const scale = new Scale(value.length, hasStart, canvas.clientWidth);
  const labels = layOutLabels(canvas, value.labels, scale.cell);
  const arcsHeight = reads.length ? ARCS_HEIGHT : 8;
  const stripTop = arcsHeight + 8;
  const labelsTop = stripTop + (value.inputs ? STRIP_HEIGHT + 6 : 2);
  const axisTop = labelsTop + labels.height;
  const {context} = startDrawing(canvas, axisTop + 22);

  const shown = chosenArcs(reads, chosen);
  // An arc keeps its height, whether others are shown or not.
  const longest = Math.max(1, ...reads.map(([reader, read]) => reader - read));
  drawLines(context, {arcs: shown, chosen, scale, longest}, arcsHeight, color);
  drawRow(context, value, scale, arcsHeight, stripTop, color);
  if (labels.height) {
    drawLabels(context, value.labels, labels, scale, labelsTop, color);
  }
  drawAxis(context, scale, axisTop, color);
  if (chosen !== null) {
    drawChosen(context, chosen, scale, arcsHeight, axisTop, color);
  }
  return {scale, drawn: shown.length, total: reads.length};
}

/** The arcs of the chosen step, or else the heaviest, lightest first. */
function chosenArcs(reads, chosen) {
  if (chosen !== null) {
    return reads.filter(([reader, read]) => chosen === reader || chosen === read);
  }
  return reads.toSorted((a, b) => a[2] - b[2]).slice(-MAX_ARCS);
}

function drawLines(context, {arcs, chosen, scale, longest}, base, color) {
  // Many arcs at full strength would be a blot.
  const crowd = Math.min(1, Math.sqrt(120 / Math.max(arcs.length, 1)));
  for (const [reader, read, weight] of arcs) {
    const from = scale.x(read);
    const to = scale.x(reader);
    const height = (base - 10) * Math.sqrt((reader - read) / longest);
    context.strokeStyle = color(
      chosen === null ? "arc" : chosen === reader ? "reads" : "read-by",
    );
    if (chosen === null) {
      context.globalAlpha = Math.min(1, (0.12 + 0.88 * weight) * crowd);
      context.lineWidth = (0.4 + 3 * weight) * Math.max(crowd, 0.35);
    } else {
      context.globalAlpha = 0.3 + 0.7 * weight;
      context.lineWidth = 1 + 3.5 * weight;
    }
    context.beginPath();
    context.ellipse(
      (from + to) / 2, base, (to - from) / 2, height, 0, Math.PI, 2 * Math.PI,
    );
    context.stroke();
  }
  context.globalAlpha = 1;
}

function drawRow(context, value, scale, base, stripTop, color) {
  const {first, last, cell} = scale;
  context.strokeStyle = color("line");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(scale.x(first) - cell / 2, base + 0.5);
  context.lineTo(scale.x(last) + cell / 2, base + 0.5);
  context.stroke();
  if (cell >= 5) {
    context.fillStyle = color("muted");
    for (let step = first; step <= last; step++) {
      context.beginPath();
      context.arc(scale.x(step), base, Math.min(2.5, cell / 5), 0, 7);
      context.fill();
    }
  }
  if (!value.inputs) return;
  const known = value.inputs.filter((x) => x !== null);
  const low = Math.min(...known);
  const range = Math.max(...known) - low || 1;
  const fill = (step, style, alpha) => {
    context.fillStyle = style;
    context.globalAlpha = alpha;
    // Neighbors overlap slightly to avoid seams.
    const left = scale.x(step) - cell / 2;
    context.fillRect(left, stripTop, cell + 0.4, STRIP_HEIGHT);
  };
  value.inputs.forEach((x, step) => {
    if (x === null) return;
    fill(step, color("low"), 1);
    fill(step, color("high"), (x - low) / range);
  });
  context.globalAlpha = 1;
}

/** Whether labels are upright, hanging or hidden, and their height. */
function layOutLabels(canvas, labels, cell) {
  if (!labels) return {height: 0};
  const context = canvas.getContext("2d");
  const widths = labels.map((x) => context.measureText(visible(x)).width);
  const widest = Math.min(LONGEST_LABEL, Math.max(...widths));
  if (widest + 3 <= cell) return {height: 18, hanging: false};
  if (cell >= 12) return {height: widest + 8, hanging: true};
  return {height: 0};
}

function drawLabels(context, labels, {hanging}, scale, top, color) {
  context.fillStyle = color("ink");
  context.textBaseline = "middle";
  context.textAlign = hanging ? "right" : "center";
  labels.forEach((label, step) => {
    context.save();
    context.translate(scale.x(step), top + (hanging ? 2 : 9));
    if (hanging) context.rotate(-Math.PI / 2);
    // Squeezes labels that are too long.
    context.fillText(visible(label), 0, 0, LONGEST_LABEL);
    context.restore();
  });
}

function drawAxis(context, scale, top, color) {
  context.fillStyle = color("muted");
  context.textBaseline = "top";
  context.textAlign = "center";
  const width = scale.cell * (scale.last - scale.first + 1);
  const start = scale.first === START;
  if (start) {
    context.textAlign = "left";
    context.fillText("start", scale.x(START) - Math.min(scale.cell / 2, 12), top + 6);
    context.textAlign = "center";
  }
  for (const step of ticks(scale.last, width / 60)) {
    if (start && scale.x(step) - scale.x(START) < 40) continue;
    context.fillText(String(step), scale.x(step), top + 6);
  }
}

function drawChosen(context, chosen, scale, base, bottom, color) {
  const x = scale.x(chosen);
  context.strokeStyle = color("ink");
  context.lineWidth = 1.5;
  const width = Math.max(scale.cell, 3);
  context.strokeRect(x - width / 2, base - 4, width, bottom - base + 4);
}

/** Describes in words what a step reads and which steps read it. */
export function describe(value, step) {
  const name = (i) => (i === START ? "the start" : String(i));
  const said = [];
  const label = value.labels?.[step];
  const input = value.inputs?.[step];
  if (label !== undefined) said.push(`'${visible(label)}'`);
  if (input !== undefined && input !== null) {
    said.push(`(input ${Number(input.toPrecision(3))})`);
  }
  const subject = [step === START ? "the start" : `step ${step}`, ...said];
  if (!value.reads) return {subject: subject.join(" "), reads: "", readBy: ""};
  const weighed = value.reads.filter(([, , weight]) => weight > 0);
  const reads = weighed
    .filter(([reader]) => reader === step)
    .toSorted((a, b) => b[2] - a[2])
    .map(([, read, weight]) => `${name(read)} (${weight.toFixed(2)})`);
  const readers = weighed
    .filter(([, read]) => read === step)
    .map(([reader]) => String(reader));
  return {
    subject: subject.join(" "),
    reads: step === START ? "" : `reads ${listed(reads)}`,
    readBy: `read by ${listed(readers, "no step")}`,
  };
}

function listed(names, none = "nothing") {
  if (!names.length) return none;
  const more = names.length - 16;
  const shown = names.slice(0, 16).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}
