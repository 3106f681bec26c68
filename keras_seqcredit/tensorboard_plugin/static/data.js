// Data from the server, in the order in which the page needs it.

/** Fetches JSON from a route next to the page, or throws the error. */
async function get(route, parameters = {}) {
  const query = new URLSearchParams(parameters);
  const response = await fetch(`./${route}?${query}`);
  if (!response.ok) {
    throw new Error(`${route}: ${response.status} ${await response.text()}`);
  }
  return response.json();
}

/**
 * Lists all entries by training run. A view's folder is inside its run's
 * folder. Each entry is one layer and example,
 * `{name, reads: {run, tag}, gradients: {run, tag}}`, without missing parts.
 */
export async function listRuns() {
  const runs = new Map();
  for (const [run, tags] of Object.entries(await get("tags"))) {
    const parts = run.split("/");
    const name = parts.slice(0, -1).join("/") || ".";
    for (const [tag, kind] of Object.entries(tags)) {
      if (kind !== "reads" && kind !== "gradients") continue;
      if (!runs.has(name)) runs.set(name, new Map());
      const entries = runs.get(name);
      // "credit/<layer>/example_<i>/<kind>": a layer may contain slashes.
      const entry = tag.split("/").slice(1, -1).join("/");
      if (!entries.has(entry)) entries.set(entry, {name: entry});
      entries.get(entry)[kind] = {run, tag};
    }
  }
  return runs;
}

/** Fetches each series once, until `forget` is called. */
export class Series {
  #fetched = new Map();

  forget() {
    this.#fetched.clear();
  }

  /** All epochs of `{run, tag}`; none if there is no such series. */
  epochs(source) {
    if (!source) return Promise.resolve([]);
    const key = JSON.stringify([source.run, source.tag]);
    if (!this.#fetched.has(key)) {
      const fetched = get("data", source);
      fetched.catch(() => this.#fetched.delete(key));
      this.#fetched.set(key, fetched);
    }
    return this.#fetched.get(key);
  }
}

/** The last epoch up to `step`, or else the first of all. */
export function epochAt(epochs, step) {
  return epochs.findLast((epoch) => epoch.step <= step) ?? epochs[0];
}
