// Follows TensorBoard's light or dark theme.

function isDark() {
  try {
    if (window.parent !== window) {
      return window.parent.document.body.classList.contains("dark-mode");
    }
  } catch {
    // A parent frame of another origin is not accessible.
  }
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Sets the theme now and at each change, then calls `changed`. */
export function followTheme(changed) {
  const update = () => {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
    changed();
  };
  window
    .matchMedia("(prefers-color-scheme: dark)")
    .addEventListener("change", update);
  try {
    new MutationObserver(update).observe(window.parent.document.body, {
      attributeFilter: ["class"],
    });
  } catch {
    // As above.
  }
  update();
}

/** Colors of the style sheet, for a canvas: `color("ink")`. */
export function colors() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

/** Color and dashes of line number `index`. */
export function lineStyle(color, index) {
  const series = color("series").split(",");
  const dashes = [[], [7, 4], [2, 3]];
  return {
    color: series[index % series.length].trim(),
    dash: dashes[Math.floor(index / series.length) % dashes.length],
  };
}
