// What the server knows, in the order in which the page needs it.

/** Fetches JSON of a route next to the page, or throws what is wrong. */
async function get(route, parameters = {}) {
  const query = new URLSearchParams(parameters);
  const response = await fetch(`./${route}?${query}`);
  if (!response.ok) {
    throw new Error(`${route}: ${response.status} ${await response.text()}`);
  }
  return response.json();
}

/**
 * Lists what there is, by training run: the folder of a view is a folder in
 * that of its run. Each entry is one layer and example,
 * `{name, reads: {run, tag}, gradients: {run, tag}}`, without what is missing.
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
      // "credit/<layer>/example_<i>/<kind>": a layer may have slashes, too.
      const entry = tag.split("/").slice(1, -1).join("/");
      if (!entries.has(entry)) entries.set(entry, {name: entry});
      entries.get(entry)[kind] = {run, tag};
    }
  }
  return runs;
}

/** Fetches each series once, until what was fetched is forgotten. */
export class Series {
  #fetched = new Map();

  forget() {
    this.#fetched.clear();
  }

  /** All epochs of `{run, tag}`; none where there is no such series. */
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

/** The last of the epochs up to `step`, or the first of all. */
export function epochAt(epochs, step) {
  return epochs.findLast((epoch) => epoch.step <= step) ?? epochs[0];
}
