// The report as data, what the reader chose, and which settings are shown. Everything else is drawn from these.

const report = JSON.parse(document.getElementById("report-data").textContent);
// Address of a picture → its content, where the page holds it inside.
const held = JSON.parse(document.getElementById("report-pictures")?.textContent ?? "{}");

const settings = new Map(report.settings.map((one) => [one.id, one]));
const quantities = new Map(report.quantities.map((one) => [one.name, one]));
const prompts = new Map(report.prompts.map((one) => [one.id, one]));
const address = (name) => held[name] ?? name;

// What the reader chose, by name; all of it is text, and stands in the address so that a view can be shared:
// #/x=latency_s&y=clip_score&f.acceleration=none,high. A choice that is the default is not in the address.
const choices = (() => {
  const mark = "#/";
  const defaults = new Map();
  const chosen = new Map();
  const watchers = [];

  const read = () => {
    chosen.clear();
    if (!location.hash.startsWith(mark)) return;
    for (const [name, value] of new URLSearchParams(location.hash.slice(mark.length))) chosen.set(name, value);
  };
  const write = () => {
    const said = [...chosen].filter(([name, value]) => value !== (defaults.get(name) ?? ""));
    const text = new URLSearchParams(said).toString();
    history.replaceState(null, "", text ? mark + text : location.pathname + location.search);
  };
  const tell = (names) => {
    for (const [wanted, then] of watchers) if (wanted.some((name) => names.has(name))) then();
  };

  read();
  addEventListener("hashchange", () => {
    const before = new Map(chosen);
    read();
    const names = new Set([...before.keys(), ...chosen.keys()]);
    tell(new Set([...names].filter((name) => before.get(name) !== chosen.get(name))));
  });
  return {
    // Value of a choice; one that is none of `allowed` (an address may say anything) counts as not said.
    get(name, allowed) {
      const value = chosen.get(name) ?? defaults.get(name) ?? "";
      return allowed && !allowed.includes(value) ? (defaults.get(name) ?? allowed[0] ?? "") : value;
    },
    initial(name, value) {
      defaults.set(name, String(value));
    },
    set(changes) {
      const names = new Set();
      for (const [name, value] of Object.entries(changes)) {
        if (this.get(name) === String(value)) continue;
        chosen.set(name, String(value));
        names.add(name);
      }
      if (!names.size) return;
      write();
      tell(names);
    },
    // Calls `then` whenever one of `names` changes; "shown" stands for all filters.
    watch(names, then) {
      const all = names.flatMap((name) => (name === "shown" ? report.axes.map((axis) => `f.${axis.name}`) : [name]));
      watchers.push([all, then]);
    },
  };
})();

// Settings that pass the filters, in the order of the report. A filter lists the values to keep, each as JSON.
const filterOf = (axis) => {
  const text = choices.get(`f.${axis.name}`);
  if (!text) return null;
  try {
    const kept = JSON.parse(`[${text}]`);
    return new Set(kept.filter((value) => axis.values.includes(value)));
  } catch {
    return null;
  }
};
const passes = (axes) =>
  report.axes.every((axis) => {
    const kept = filterOf(axis);
    return !kept || kept.size === 0 || !(axis.name in axes) || kept.has(axes[axis.name]);
  });
const shown = () => report.settings.filter((one) => passes(one.axes));

// Parts of the page that are drawn here: name → function of the element that holds it.
const parts = new Map();
