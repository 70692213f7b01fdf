// The report as data, what the reader chose, and which settings are shown. Everything else is drawn from these.

const report = JSON.parse(document.getElementById("report-data").textContent);
// Address of a picture → its content, where the page holds it inside.
const held = JSON.parse(document.getElementById("report-pictures")?.textContent ?? "{}");

const settings = new Map(report.settings.map((one) => [one.id, one]));
const quantities = new Map(report.quantities.map((one) => [one.name, one]));
const prompts = new Map(report.prompts.map((one) => [one.id, one]));
const address = (name) => (Object.hasOwn(held, name) ? held[name] : name);

// Parts of the page that are drawn here: name → function of the element that holds it.
const parts = new Map();
// The element whose part is being drawn: what that part watches, and what breaks in it, belongs to it.
let drawing = null;

// Runs `draw` for `element`; what breaks says so in its place and leaves the others alone.
const drawIn = (element, draw) => {
  const outer = drawing;
  drawing = element;
  try {
    draw();
  } catch (error) {
    console.error(error);
    element?.querySelector(":scope > .broken")?.remove();
    element?.append(h("p", { class: "notice warning broken" }, `This part could not be drawn: ${error.message}`));
  } finally {
    drawing = outer;
  }
};

// What the reader chose, by name; all of it is text, and stands in the address so that a view can be shared:
// #/x=latency_s&y=clip_score&f.acceleration="none","high". A choice that is the default is not in the address.
// An address that names a place alone, such as #settings, is the choice `at`.
const choices = (() => {
  const mark = "#/";
  const defaults = new Map();
  const chosen = new Map();
  const watchers = [];

  const read = () => {
    chosen.clear();
    const text = location.hash;
    if (text.startsWith(mark)) for (const [name, value] of new URLSearchParams(text.slice(2))) chosen.set(name, value);
    else if (text.length > 1) chosen.set("at", text.slice(1));
  };
  const write = () => {
    const said = [...chosen].filter(([name, value]) => value !== (defaults.get(name) ?? ""));
    const place = said.length === 1 && said[0][0] === "at" && !said[0][1].startsWith("/");
    const text = place ? `#${said[0][1]}` : said.length ? mark + new URLSearchParams(said) : "";
    history.replaceState(history.state, "", text || location.pathname + location.search);
  };
  const tell = (names) => {
    for (const [wanted, then, element] of watchers) {
      if (wanted.some((name) => names.has(name))) drawIn(element, then);
    }
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
      const filters = [...report.axes.map((axis) => `f.${axis.name}`), FIND];
      const all = names.flatMap((name) => (name === "shown" ? filters : [name]));
      watchers.push([all, then, drawing]);
    },
  };
})();

// Name of the choice that holds words to look for in the labels of settings.
const FIND = "find";
// Value of a filter that keeps nothing.
const NOTHING = "-";

// Values of an axis to keep: null where all are. A filter lists them, each as JSON; values that do not occur are not
// heard, as an address may say anything.
const filterOf = (axis) => {
  const text = choices.get(`f.${axis.name}`);
  if (text === NOTHING) return new Set();
  try {
    const kept = JSON.parse(`[${text}]`).filter((value) => axis.values.includes(value));
    return kept.length ? new Set(kept) : null;
  } catch {
    return null;
  }
};

// Settings that pass the filters, in the order of the report.
const shown = () => {
  const kept = report.axes.map((axis) => [axis.name, filterOf(axis)]).filter(([, values]) => values !== null);
  const words = choices.get(FIND).toLowerCase().split(/\s+/).filter(Boolean);
  return report.settings.filter((one) => {
    const label = words.length ? one.label.toLowerCase() : "";
    return (
      kept.every(([name, values]) => !Object.hasOwn(one.axes, name) || values.has(one.axes[name])) &&
      words.every((word) => label.includes(word))
    );
  });
};
