// A line for each acceleration over steps, with the knee marked.

{
  const MOST = 12;
  const steps = axisNamed("steps");
  const others = differingAxes.filter(({ name }) => name !== "steps");
  const keyOf = (axes) => JSON.stringify(others.map(({ name }) => axes[name]));
  // With many lines only the accelerations stay side by side; the other axes are held at one value each.
  const held = others.filter(({ name }) => name !== "acceleration");
  const crowded = new Set(report.settings.map(({ axes }) => keyOf(axes))).size > MOST;
  const passesHeld = ({ axes }) =>
    !crowded ||
    held.every((axis) => {
      const kept = choices.get(`lf.${axis.name}`, ["", ...axis.values.map((value) => JSON.stringify(value))]);
      return kept === "" || kept === JSON.stringify(axes[axis.name]);
    });

  const nameOf = (axes) => others.map((axis) => axisText(axis, axes[axis.name])).join(", ") || "all settings";
  const pointOf = (setting, quantity) => {
    const { value, low, high } = setting.values[quantity.name];
    const scaled = (end) => (end === null ? null : end / quantity.scale);
    return {
      x: setting.axes.steps,
      y: scaled(value),
      yLow: scaled(low),
      yHigh: scaled(high),
      id: setting.id,
      lines: [
        nameOf(setting.axes),
        `${setting.axes.steps} steps`,
        `${quantity.label}: ${describeValue(quantity, setting.values[quantity.name])}`,
      ],
    };
  };
  const tracesOf = (lines, quantity, whiskers) => {
    const colours = axisNamed("acceleration")?.values ?? [];
    const rest = (axes) => JSON.stringify(held.map(({ name }) => axes[name]));
    const marks = [...new Set(report.settings.map(({ axes }) => rest(axes)))];
    const point = (one) => ({ ...pointOf(one, quantity), ...(whiskers ? {} : { yLow: null }) });
    return lines.map((line) => {
      const { axes } = line[0];
      const place = { series: Math.max(colours.indexOf(axes.acceleration), 0), mark: marks.indexOf(rest(axes)) };
      return { name: nameOf(axes), points: line.map(point), mode: "lines+markers", line: { width: 2 }, ...place };
    });
  };
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
      rings: knees.map((one) => settings.get(one.setting)),
    };
  };
  const kneeText = (knee) => `${nameOf(knee.axes)}: knee at ${knee.steps} steps${knee.note ? `, ${knee.note}` : ""}`;

  parts.set("lines", (element) => {
    const counts = steps?.values.filter((value) => value !== null) ?? [];
    if (counts.length < 2) {
      const said = counts.length ? `All settings take ${counts[0]} steps` : "No setting says how many steps it takes";
      element.append(h("p", { class: "empty" }, `${said}: there is no line over steps to draw.`));
      return;
    }
    const measured = report.quantities.filter(({ name }) => report.settings.some(({ values }) => name in values));
    if (!measured.length) {
      element.append(h("p", { class: "empty" }, "Nothing was measured yet."));
      return;
    }
    const names = measured.map(({ name }) => name);
    choices.initial(
      "lq",
      measured.find(({ kind, better }) => kind !== "cost" && better !== "neither")?.name ?? names[0],
    );
    const reference = report.settings.find((one) => one.reference === one.id) ?? report.settings[0];
    const holders = crowded ? held : [];
    for (const axis of holders) choices.initial(`lf.${axis.name}`, JSON.stringify(reference.axes[axis.name]));
    const options = (axis) => [
      ["", "all"],
      ...axis.values.map((value) => [JSON.stringify(value), axisText(axis, value)]),
    ];
    const [whiskers, whiskerLabel] = whiskerBox();
    const controls = h(
      "div",
      { class: "controls" },
      select("Quantity", "lq", measured.map((one) => [one.name, quantityText(one)])),
      whiskerLabel,
      holders.map((axis) => select(axis.label, `lf.${axis.name}`, options(axis))),
    );
    const note = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    const list = h("ul", { class: "notes" });
    const aside = h("p", { class: "set-aside" });
    element.append(controls, note, chart, list, aside);
    const table = twin(element);

    const draw = () => {
      const quantity = quantities.get(choices.get("lq", names));
      const wanted = shown().filter((one) => passesHeld(one) && one.axes.steps !== null);
      const there = wanted.filter(({ values }) => quantity.name in values);
      const lines = [...Map.groupBy(there, ({ axes }) => keyOf(axes)).values()];
      const drawn = lines.slice(0, MOST).map((line) => line.sort((one, two) => one.axes.steps - two.axes.steps));
      const knees = kneesOf(drawn, quantity);
      const { shapes, annotations, rings } = rules(knees);
      const ring = {
        name: "knee",
        points: rings.map((one) => pointOf(one, quantity)).map(({ x, y }) => ({ x, y })),
        mode: "markers",
        series: "ink",
        hoverinfo: "skip",
        marker: { symbol: "circle-open", size: 19, line: { width: 2 } },
      };
      const layout = {
        xaxis: { title: "Steps", tickvals: counts },
        yaxis: { title: axisTitle(quantity) },
        shapes,
        annotations,
        uirevision: quantity.name,
      };
      const label = `${quantity.label} over steps`;
      const all = [...tracesOf(drawn, quantity, whiskers.checked), ...(rings.length ? [ring] : [])];
      plot(chart, all, layout, { label, describe: `${drawn.length} lines.`, select: openSetting });
      const more = lines.length > MOST ? ` The first ${MOST} of ${lines.length} lines are drawn.` : "";
      const what = quantity.note ? `${quantity.label}: ${quantity.note}. ` : "";
      const how = "Whiskers are 95 % intervals; a ring marks the knee, from which more steps buy little.";
      note.textContent = `${what}${how}${more}`;
      const words = knees.length ? knees.map(kneeText) : [noKnee(quantity)];
      list.replaceChildren(...words.map((text) => h("li", {}, bdi(text))));
      aside.textContent = setAsideNote(
        "Not drawn",
        wanted.filter((one) => !there.includes(one)).map((one) => one.absent[quantity.name] ?? "no value"),
      );
      const rows = drawn.flat().map((one) => [
        nameOf(one.axes),
        String(one.axes.steps),
        describeValue(quantity, one.values[quantity.name]),
        knees.some(({ setting }) => setting === one.id) ? "knee" : "",
      ]);
      table(
        `${quantityText(quantity)} over steps, with 95 % intervals.`,
        ["Line", "Steps", quantityText(quantity), "Knee"],
        rows,
      );
    };
    whenNear(element, ["shown", "lq", "bars", ...holders.map(({ name }) => `lf.${name}`)], draw);
  });
  const noKnee = (quantity) => `No knee is marked for ${quantity.label} on these lines.`;
}
