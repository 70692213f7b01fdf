// A line for each acceleration over steps, with the knee marked.

{
  const MOST = 12;
  // With more lines than these only one axis stays side by side; the others are held at one value each.
  const CROWDED = 6;
  const steps = axisNamed("steps");
  const others = differingAxes.filter(({ name }) => name !== "steps");
  const beside = others.find(({ name }) => name === "acceleration") ?? others[0];
  const rest = others.filter((axis) => axis !== beside);
  const keyOf = (axes, list = others) => JSON.stringify(list.map(({ name }) => axes[name]));
  const crowded = new Set(report.settings.map(({ axes }) => keyOf(axes))).size > CROWDED;

  const counts = steps?.values.filter((value) => value !== null) ?? [];
  const measured = report.quantities.filter(({ name }) => report.settings.some(({ values }) => name in values));
  const names = measured.map(({ name }) => name);
  const whyNone = () => {
    const said = counts.length ? `All settings take ${counts[0]} steps` : "No setting says how many steps it takes";
    if (counts.length < 2) return `${said}: there is no line over steps to draw.`;
    return measured.length ? "" : "Nothing was measured yet.";
  };

  // Of a line: the axes that are not held at one value.
  const nameOf = (axes, held) =>
    others.filter(({ name }) => !(name in held)).map((axis) => axisText(axis, axes[axis.name])).join(", ") || "all settings";
  const pointOf = (setting, quantity, held) => {
    const value = setting.values[quantity.name];
    const [y, yLow, yHigh] = scaledEstimate(quantity, value);
    const said = [`${setting.axes.steps} steps`, `${quantity.label}: ${describeValue(quantity, value)}`];
    return { x: setting.axes.steps, y, yLow, yHigh, id: setting.id, lines: [nameOf(setting.axes, held), ...said] };
  };
  const marks = [...new Set(report.settings.map(({ axes }) => keyOf(axes, rest)))];
  const tracesOf = ({ lines, quantity, held }) =>
    lines.map((line) => {
      const { axes } = line[0];
      const series = beside ? Math.max(beside.values.indexOf(axes[beside.name]), 0) : 0;
      const points = line.map((one) => withWhiskers(pointOf(one, quantity, held)));
      const place = { series, mark: marks.indexOf(keyOf(axes, rest)) };
      return { name: nameOf(axes, held), points, mode: "lines+markers", line: { width: 2 }, ...place };
    });
  const kneesOf = (lines, quantity) => {
    const drawn = new Map(lines.flat().map((one) => [one.id, one]));
    return report.knees.filter((one) => one.quantity === quantity.name && drawn.has(one.setting));
  };
  // Knees at the same number of steps share one rule through the chart.
  const rules = (knees) => {
    const at = [...Map.groupBy(knees, (one) => one.steps)].sort(([one], [two]) => one - two);
    const text = (count) => (count > 1 ? `${count} knees` : "knee");
    return {
      shapes: at.map(([x]) => ({
        type: "line",
        x0: x,
        x1: x,
        y0: 0,
        y1: 1,
        yref: "paper",
        line: { dash: "dot", width: 1.5, color: "#888888" },
      })),
      annotations: at.map(([x, list]) => ({
        x,
        y: 1,
        yref: "paper",
        yanchor: "top",
        xanchor: "left",
        xshift: 3,
        showarrow: false,
        text: text(list.length),
      })),
    };
  };
  const kneeText = (knee, held) => `${nameOf(knee.axes, held)}: knee at ${knee.steps} steps${knee.note ? `, ${knee.note}` : ""}`;

  const noKnee = (quantity) => `No knee is marked for ${quantity.label} on these lines.`;

  const stateNow = (holds) => {
    const quantity = quantities.get(choices.get("lq", names));
    const able = shown().filter(({ axes }) => axes.steps !== null);
    const held = holds ? holds.values(able) : {};
    const wanted = able.filter(({ axes }) => Object.entries(held).every(([name, value]) => axes[name] === value));
    const there = wanted.filter(({ values }) => quantity.name in values);
    const all = [...Map.groupBy(there, ({ axes }) => keyOf(axes)).values()];
    const lines = all.slice(0, MOST).map((line) => line.sort((one, two) => one.axes.steps - two.axes.steps));
    const lacking = wanted.filter(({ values }) => !(quantity.name in values));
    return { quantity, held, lines, cut: all.length, knees: kneesOf(lines, quantity), lacking };
  };
  // Draws; returns whether intervals reach beyond the plot.
  const drawChart = (chart, state) => {
    const { quantity, lines, knees, held } = state;
    const up = pointRange(lines.flat().map((one) => pointOf(one, quantity, held)), "y");
    const rings = knees.map((one) => pointOf(settings.get(one.setting), quantity, held));
    const layout = {
      xaxis: { title: "Steps", tickvals: counts },
      yaxis: { title: axisTitle(quantity), ...(up ? { range: up } : {}) },
      ...rules(knees),
      uirevision: `${quantity.name} ${choices.get("bars")}`,
    };
    const traces = [...tracesOf(state).map((one) => ({ ...one, faint: up !== null })), ...(rings.length ? [ringAround("knee", rings)] : [])];
    const said = { label: `${quantity.label} over steps`, describe: `${lines.length} lines.`, select: openSetting };
    plot(chart, traces, layout, said);
    return up !== null;
  };
  const noteOf = ({ quantity, held, lines, cut }) => {
    const at = Object.keys(held).length ? `At ${heldWords(held)}. ` : "";
    const what = quantity.note ? `${quantity.label}: ${quantity.note}. ` : "";
    const how = "Whiskers are 95 % intervals; a ring marks the knee, from which more steps buy little.";
    const more = cut > lines.length ? ` The first ${lines.length} of ${cut} lines are drawn.` : "";
    return lines.length ? `${at}${what}${how}${more}` : `${at}No setting shown has ${quantity.label}.`;
  };
  const fillTable = (table, { quantity, held, lines, knees }) => {
    const rows = lines.flat().map((one) => [
      nameOf(one.axes, held),
      String(one.axes.steps),
      describeValue(quantity, one.values[quantity.name]),
      knees.some(({ setting }) => setting === one.id) ? "knee" : "",
    ]);
    const heads = ["Line", "Steps", quantityText(quantity), "Knee"];
    table(`${quantityText(quantity)} over steps, with 95 % intervals.`, heads, rows);
  };

  parts.set("lines", (element) => {
    if (whyNone()) {
      element.append(h("p", { class: "empty" }, whyNone()));
      return;
    }
    const told = measured.find(({ kind, better }) => kind !== "cost" && better !== "neither");
    choices.initial("lq", told?.name ?? names[0]);
    const holds = crowded ? holding("lf", rest, { all: true }) : null;
    const controls = h(
      "div",
      { class: "controls" },
      select("Quantity", "lq", measured.map((one) => [one.name, quantityText(one)])),
      whiskerChoice(),
      holds?.controls ?? [],
    );
    const note = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    const list = h("ul", { class: "notes" });
    const aside = h("p", { class: "set-aside" });
    element.append(controls, note, chart, list, aside);
    const table = twin(element);

    const draw = () => {
      const state = stateNow(holds);
      const { quantity, knees, held, lines, lacking } = state;
      chart.hidden = !lines.length;
      const beyond = lines.length > 0 && drawChart(chart, state);
      note.textContent = noteOf(state) + (beyond ? BEYOND : "");
      const words = knees.length ? knees.map((knee) => kneeText(knee, held)) : lines.length ? [noKnee(quantity)] : [];
      list.replaceChildren(...words.map((text) => h("li", {}, bdi(text))));
      aside.textContent = setAsideNote("Not drawn", lacking.map((one) => one.absent[quantity.name] ?? "no value"));
      fillTable(table, state);
    };
    whenNear(element, ["shown", "lq", "bars", ...(holds?.names ?? [])], draw);
  });
}
