// What the grid of pictures can put across and down, and which setting belongs into a cell.

const gridAxes = (() => {
  const code = (value) => JSON.stringify(value);
  const differing = report.axes.filter((axis) => axis.values.length > 1);

  // All that can be an axis of the grid. `kind` says what a value is.
  const dimensions = [
    ...differing.map((axis) => ({
      kind: "axis",
      name: axis.name,
      label: axis.label,
      values: axis.values,
      text: (value) => (value === null ? "not set" : axisText(axis, value) + (axis.unit ? ` ${axis.unit}` : "")),
    })),
    {
      kind: "setting",
      name: "setting",
      label: "Setting",
      values: report.settings.map((one) => one.id),
      text: (id) => gallery.nameOf(id),
    },
    { kind: "prompt", name: "prompt", label: "Prompt", values: gallery.shownPrompts, text: (id) => id },
    { kind: "seed", name: "seed", label: "Seed", values: gallery.allSeeds, text: (seed) => `seed ${seed}` },
  ];
  const named = (name) => dimensions.find((one) => one.name === name);

  const first = (names, but) =>
    names.find((name) => name !== but && named(name) && named(name).values.length > 1) ?? names.at(-1);
  const across = first(["run", "steps", "acceleration", ...differing.map((axis) => axis.name), "seed", "setting"]);
  const down = first(across === "run" ? ["prompt"] : ["acceleration", ...differing.map((axis) => axis.name), "prompt"], across);
  choices.initial("gx", across);
  choices.initial("gy", down);

  // The value at which an axis stands still: the reader's, else the reference's of the first setting that has one.
  const home = settings.get(report.settings.find((one) => one.reference)?.reference) ?? report.settings[0];
  for (const axis of differing) choices.initial(`g.${axis.name}`, code(home.axes[axis.name]));
  const fixed = (axis) => {
    const chosen = choices.get(`g.${axis.name}`, axis.values.map(code));
    return JSON.parse(chosen);
  };

  // The setting of a cell: `wanted` are the axes that the cell says. The others are held where they stand, but for those
  // in which all settings left have one and the same value, as an endpoint without that parameter.
  const settingFor = (among, wanted) => {
    let left = among.filter((one) => Object.entries(wanted).every(([name, value]) => one.axes[name] === value));
    const elsewhere = [];
    for (const axis of differing) {
      if (axis.name in wanted || !left.length) continue;
      const value = fixed(axis);
      const kept = left.filter((one) => one.axes[axis.name] === value);
      if (!kept.length && left.every((one) => one.axes[axis.name] === left[0].axes[axis.name])) {
        elsewhere.push(`${axis.label} ${named(axis.name).text(left[0].axes[axis.name])}`);
      } else left = kept;
    }
    return { setting: left[0] ?? null, elsewhere };
  };
  // Why there is no setting there.
  const whyNone = (wanted) => {
    const all = { ...Object.fromEntries(differing.map((axis) => [axis.name, fixed(axis)])), ...wanted };
    const known = new Map(report.axes.map((axis) => [axis.name, axis.values]));
    const found = report.skipped.find((one) =>
      Object.entries(all).every(([name, value]) => {
        const skipped = one.axes[name];
        return skipped === undefined || skipped === null || !known.get(name).includes(skipped) || skipped === value;
      }),
    );
    return found ? [found.kind, found.reason] : ["no setting", "not in the plan"];
  };
  return { code, differing, dimensions, named, fixed, settingFor, whyNone };
})();
