// Shared by both pictures.

export const FONT = '12px Roboto, "Helvetica Neue", Arial, sans-serif';

/** Clears a canvas and matches its pixels to the screen's. */
export function startDrawing(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = FONT;
  context.lineJoin = "round";
  return {context, width};
}

/** Round numbers from 0 to `last`, at most about `count`. */
export function ticks(last, count) {
  const rough = Math.max(last / Math.max(count, 1), 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((n) => n * power >= rough) * power;
  const numbers = [];
  for (let n = 0; n <= last; n += step) numbers.push(n);
  return numbers;
}
