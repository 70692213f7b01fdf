// Cost against quality: every shown setting as a point, what none beats in both as a stair.

{

  // Point estimates: on the front are those that no other matches in both and beats in one.
  // `ideal`: costs of settings whose pictures are all the reference's, so that none is better on the metric.
  const frontOf = (placed, x, y, ideal) => {
    const sign = (quantity) => (quantity.better === "higher" ? -1 : 1);
    const at = (one) => [sign(x) * one.x.value, sign(y) * one.y.value];
    return placed.filter((one) => {
      const [x1, y1] = at(one);
      if (ideal.some((cost) => sign(x) * cost <= x1)) return false;
      return !placed.some((other) => {
        const [x2, y2] = at(other);
        return x2 <= x1 && y2 <= y1 && (x2 < x1 || y2 < y1);
      });
    });
  };

  const placeAll = (x, y, logarithmic) => {
    const placed = [];
    const reasons = [];
    const ideal = [];
    for (const setting of shown()) {
      const [across, up] = [setting.values[x.name], setting.values[y.name]];
      const lacking = [x, y].find((quantity) => !setting.values[quantity.name]);
      if (across && !up && setting.absent[y.name] === "identical to the reference") ideal.push(across.value);
      if (lacking) reasons.push(`no ${lacking.label}: ${setting.absent[lacking.name] ?? "no value"}`);
      else if (logarithmic && across.value <= 0) reasons.push(`${x.label} is not above 0, which a logarithmic scale cannot show`);
      else placed.push({ setting, x: across, y: up });
    }
    return { placed, reasons, ideal };
  };

  const spotOf = ({ x: across, y: up }, x, y) => {
    const [[x0, xLow, xHigh], [y0, yLow, yHigh]] = [scaledEstimate(x, across), scaledEstimate(y, up)];
    return { x: x0, xLow, xHigh, y: y0, yLow, yHigh };
  };

  const linesOf = ({ setting, x, y }, quantitiesOf, chance) => [
    nameAndReference(setting),
    `${quantitiesOf[0].label}: ${describeValue(quantitiesOf[0], x)}`,
    `${quantitiesOf[1].label}: ${describeValue(quantitiesOf[1], y)}`,
    ...(chance === undefined ? [] : [`on the front in ${percent(chance)} of resamples`]),
  ];
  const percent = (share) => `${(100 * share).toFixed(0)} %`;

  // One trace for each acceleration and target; a line joins settings that differ in steps alone.
  const seriesOf = (placed, pointOf) => {
    const colours = axisNamed("acceleration")?.values ?? [];
    const groups = Map.groupBy(
      placed,
      ({ setting: { run, axes } }) => JSON.stringify([axes.acceleration, run, axes.target]),
    );
    const marks = [...new Set(report.settings.map(({ run, axes }) => JSON.stringify([run, axes.target])))];
    return [...groups].map(([key, members]) => {
      const [acceleration, run, target] = JSON.parse(key);
      const joined = Map.groupBy(members, ({ setting }) => JSON.stringify({ ...setting.axes, steps: 0 }));
      const points = [...joined.values()].flatMap((line) => [
        ...line.sort((one, two) => one.setting.axes.steps - two.setting.axes.steps).map(pointOf),
        null,
      ]);
      const name = [acceleration, target, ...(report.runs.length > 1 ? [`run ${run.toUpperCase()}`] : [])].join(", ");
      const mark = marks.indexOf(JSON.stringify([run, target]));
      const place = { series: colours.length > 1 ? Math.max(colours.indexOf(acceleration), 0) : mark, mark };
      return { name, points, mode: "lines+markers", line: { width: 0.8, dash: "solid" }, ...place };
    });
  };
  const stairOf = (front, x) => {
    const points = front.map(({ x: across, y: up }) => ({ x: across, y: up })).sort((one, two) => one.x - two.x || one.y - two.y);
    const shape = x.better === "higher" ? "vh" : "hv";
    return {
      name: "front",
      points,
      mode: "lines",
      series: "ink",
      hoverinfo: "skip",
      line: { shape, width: 2, dash: "dot" },
    };
  };

  const costs = report.quantities.filter(({ kind }) => kind === "cost");
  const metrics = report.quantities.filter(({ kind }) => kind !== "cost");
  const names = { x: costs.map(({ name }) => name), y: metrics.map(({ name }) => name) };
  const initially = () => {
    const priced = (name) => report.settings.filter(({ values }) => name in values).length;
    choices.initial("x", costs.find(({ name }) => priced(name))?.name ?? names.x[0]);
    choices.initial("y", metrics.find(({ name, better }) => better !== "neither" && priced(name))?.name ?? names.y[0]);
  };
  // What is chosen, which settings have both, and which of them are on the front.
  const stateNow = () => {
    const [x, y] = ["x", "y"].map((axis) => quantities.get(choices.get(axis, names[axis])));
    const logarithmic = choices.get("xlog") === "yes";
    const { placed, reasons, ideal } = placeAll(x, y, logarithmic);
    const known = report.fronts.find((one) => one.x === x.name && one.y === y.name);
    const directed = x.better !== "neither" && y.better !== "neither";
    const hidden = shown().length < report.settings.length;
    const whole = known && !hidden ? new Set(known.on) : null;
    const front = !directed ? [] : whole ? placed.filter(({ setting }) => whole.has(setting.id)) : frontOf(placed, x, y, ideal);
    const chanceOf = ({ setting }) => known?.chance[setting.id];
    return { x, y, logarithmic, placed, reasons, ideal, known, directed, hidden, front, chanceOf };
  };
  // Draws; returns whether intervals reach beyond the plot.
  const drawChart = (chart, { x, y, logarithmic, placed, front, chanceOf }) => {
    const spot = (one) => spotOf(one, x, y);
    const pointOf = (one) => {
      const chance = chanceOf(one);
      return withWhiskers({ ...spot(one), id: one.setting.id, lines: linesOf(one, [x, y], chance), chance });
    };
    const spots = placed.map(spot);
    const references = placed.filter(({ setting }) => setting.reference === setting.id);
    const [across, up] = [pointRange(spots, "x", logarithmic), pointRange(spots, "y")];
    const traces = [
      ...seriesOf(placed, pointOf).map((one) => ({ ...one, faint: Boolean(across || up) })),
      stairOf(front.map(spot), x),
      ringAround("reference", references.map(spot)),
    ];
    const layout = {
      xaxis: { title: axisTitle(x), type: logarithmic ? "log" : "linear", ...(across ? { range: across } : {}) },
      yaxis: { title: axisTitle(y), ...(up ? { range: up } : {}) },
      height: 460,
      uirevision: [x.name, y.name, logarithmic, choices.get("bars")].join(" "),
    };
    const describe = `${placed.length} settings, ${front.length} on the front.`;
    plot(chart, traces, layout, { label: `${x.label} against ${y.label}`, describe, select: openSetting });
    return Boolean(across || up);
  };
  const fillTable = (table, { x, y, placed, directed, front, chanceOf }) => {
    const onFront = new Set(front.map(({ setting }) => setting.id));
    const heads = ["Setting", quantityText(x), quantityText(y), "On the front", "Chance of being on it"];
    const rows = placed.map((one) => [
      nameAndReference(one.setting),
      describeValue(x, one.x),
      describeValue(y, one.y),
      directed ? (onFront.has(one.setting.id) ? "yes" : "no") : "—",
      chanceOf(one) === undefined ? "—" : percent(chanceOf(one)),
    ]);
    const what = `${quantityText(x)} and ${quantityText(y)} of ${placed.length} settings, with 95 % intervals.`;
    table(what, heads, rows);
  };

  parts.set("scatter", (element) => {
    if (!costs.length || !metrics.length) {
      const what = costs.length ? "No metric was computed" : "No cost was measured";
      element.append(h("p", { class: "empty" }, `${what}, so there is nothing to hold against each other.`));
      return;
    }
    initially();
    const options = (list) => list.map((one) => [one.name, quantityText(one)]);
    const log = h("input", { type: "checkbox", onchange: () => choices.set({ xlog: log.checked ? "yes" : "" }) });
    const controls = h(
      "div",
      { class: "controls" },
      select("Cost, across", "x", options(costs)),
      select("Metric, upward", "y", options(metrics)),
      whiskerChoice(),
      h("label", { class: "check" }, log, "Logarithmic cost"),
    );
    const note = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    const aside = h("p", { class: "set-aside" });
    element.append(controls, note, chart, aside);
    const table = twin(element);

    const draw = () => {
      const state = stateNow();
      log.checked = state.logarithmic;
      chart.hidden = !state.placed.length;
      const beyond = state.placed.length > 0 && drawChart(chart, state);
      note.textContent = state.placed.length ? noteOf(state) + (beyond ? BEYOND : "") : "No setting shown has both.";
      aside.textContent = setAsideNote("Not drawn", state.reasons);
      fillTable(table, state);
    };
    whenNear(element, ["shown", "x", "y", "xlog", "bars"], draw);
  });

  const noteOf = ({ directed, known, hidden, y, ideal }) => {
    const lead =
      "A point is a setting, with 95 % intervals; a click or Enter opens its pictures. " +
      "Thin lines join settings that differ in steps alone.";
    if (!directed) return `${lead} Neither side of ${y.label} is better, so there is no front.`;
    const perfect = ideal.length
      ? ` ${ideal.length} whose pictures are all the reference's have no point, and beat every setting that costs as much.`
      : "";
    const front = (hidden
      ? "The dotted line is the front of the settings shown."
      : "The dotted line is the front: what no setting beats in both.") + perfect;
    if (!known) return `${lead} ${front} How sure it is, is not known.`;
    const among = hidden ? "; that chance is among all settings, also those hidden now" : "";
    return `${lead} ${front} The fainter a point, the less often it is on the front when prompts are drawn anew${among}.`;
  };
}
