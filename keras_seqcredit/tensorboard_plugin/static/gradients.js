// The gradient norm against the lag, one line per training run.

import {startDrawing, ticks} from "./canvas.js";
import {lineStyle} from "./theme.js";

const HEIGHT = 280;
const LEFT = 68;
const RIGHT = 12;
const TOP = 10;
const FLOOR = HEIGHT - 52; // Where values of exactly 0 are drawn.
const BOTTOM = FLOOR - 18; // Bottom of the logarithmic scale.

/** Norms by lag: the last step has lag 0. */
export const byLag = (value) => value.norms.toReversed();

/**
 * Draws `lines`, each `{norms, index, bold}` with norms by lag, and returns
 * the function from x to a lag.
 */
export function drawGradients(canvas, lines, lag, color) {
  const {context, width} = startDrawing(canvas, HEIGHT);
  const last = Math.max(1, ...lines.map(({norms}) => norms.length - 1));
  const positive = lines.flatMap(({norms}) => norms.filter((n) => n > 0));
  const low = Math.floor(Math.log10(positive.length ? least(positive) : 0.1));
  const high = Math.max(
    low + 1,
    Math.ceil(Math.log10(positive.length ? greatest(positive) : 1)),
  );
  const x = (n) => LEFT + ((width - LEFT - RIGHT) * n) / last;
  const y = (norm) =>
    BOTTOM - ((BOTTOM - TOP) * (Math.log10(norm) - low)) / (high - low);

  const zeros = lines.some(({norms}) => norms.includes(0));
  drawAxes(context, {x, y, low, high, last, width, zeros}, color);
  if (lag !== null && lag <= last) {
    context.strokeStyle = color("ink");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x(lag), TOP);
    context.lineTo(x(lag), FLOOR + 8);
    context.stroke();
  }
  for (const {norms, index, bold} of lines) {
    context.lineWidth = bold ? 2.8 : 1.5;
    drawLine(context, norms, x, y, lineStyle(color, index), lag);
  }
  return (position) =>
    Math.min(
      last,
      Math.max(0, Math.round(((position - LEFT) / (x(last) - LEFT)) * last)),
    );
}

// Not `Math.min(...numbers)`: there may be too many arguments for a call.
const least = (numbers) => numbers.reduce((a, b) => Math.min(a, b));
const greatest = (numbers) => numbers.reduce((a, b) => Math.max(a, b));

function drawAxes(context, {x, y, low, high, last, width, zeros}, color) {
  context.fillStyle = color("muted");
  context.strokeStyle = color("line");
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  const every = Math.ceil((high - low) / 6);
  for (let power = high; power >= low; power -= every) {
    const level = Math.round(y(10 ** power)) + 0.5;
    context.beginPath();
    context.moveTo(LEFT, level);
    context.lineTo(width - RIGHT, level);
    context.stroke();
    context.fillText(`1e${power}`, LEFT - 8, level);
  }
  if (zeros) {
    context.setLineDash([2, 4]);
    context.beginPath();
    context.moveTo(LEFT, FLOOR + 0.5);
    context.lineTo(width - RIGHT, FLOOR + 0.5);
    context.stroke();
    context.setLineDash([]);
    context.fillText("exactly 0", LEFT - 8, FLOOR);
  }
  context.textBaseline = "top";
  context.textAlign = "center";
  for (const lag of ticks(last, (width - LEFT) / 70)) {
    context.fillText(String(lag), x(lag), FLOOR + 12);
  }
  context.textAlign = "right";
  context.fillText("lag: steps back from the last one", width - RIGHT, FLOOR + 32);
}

/** A line with gaps at norms of 0, which are dots on the floor. */
function drawLine(context, norms, x, y, {color, dash}, lag) {
  context.strokeStyle = color;
  context.fillStyle = color;
  context.setLineDash(dash);
  context.beginPath();
  let drawing = false;
  norms.forEach((norm, n) => {
    const positive = norm > 0;
    if (positive && drawing) context.lineTo(x(n), y(norm));
    if (positive && !drawing) context.moveTo(x(n), y(norm));
    drawing = positive;
  });
  context.stroke();
  context.setLineDash([]);
  norms.forEach((norm, n) => {
    // A value alone between gaps would have no line.
    const alone = norm > 0 && !(norms[n - 1] > 0) && !(norms[n + 1] > 0);
    const marked = n === lag && norm !== null;
    if (norm !== 0 && !alone && !marked) return;
    context.beginPath();
    context.arc(x(n), norm > 0 ? y(norm) : FLOOR, marked ? 4 : 1.6, 0, 7);
    context.fill();
  });
}

/** A norm in words. */
export function sayNorm(norm) {
  if (norm === undefined) return "no such step";
  if (norm === null) return "not finite";
  return norm === 0 ? "exactly 0" : norm.toExponential(1);
}
