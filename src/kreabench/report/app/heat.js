// Heat maps over two axes: tables whose cells are coloured.

{
  // Viridis (van der Walt and Smith), at nine even places, from dark to bright; perceptually uniform, and monotone in grey.
  const RAMP = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"].map((hex) =>
    [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)),
  );
  const colourAt = (share) => {
    const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
    const from = Math.min(Math.floor(place), RAMP.length - 2);
    return RAMP[from].map((part, at) => Math.round(part + (place - from) * (RAMP[from + 1][at] - part)));
  };
  // Black or white, whichever stands out more: at least 4.58:1 on any colour.
  const inkOn = (rgb) => {
    const [r, g, b] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    return luminance > 0.179 ? "#000000" : "#ffffff";
  };
  const css = (rgb) => `rgb(${rgb.join(", ")})`;

  const valuesShown = (axis) => {
    const kept = filterOf(axis);
    return kept?.size ? axis.values.filter((value) => kept.has(value)) : axis.values;
  };
  const mostValues = () => [...differingAxes].sort((one, two) => two.values.length - one.values.length);
  const whyNot = (axes, quantity) => {
    const same = (one) => Object.entries(axes).every(([name, value]) => !(name in one.axes) || one.axes[name] === value);
    const setting = report.settings.find(same);
    if (setting) return setting.values[quantity.name] ? "hidden by a filter" : (setting.absent[quantity.name] ?? "no value");
    return report.skipped.find(same)?.reason ?? "not in the plan";
  };

  const cellOf = (setting, axes, quantity, shareOf) => {
    const value = setting?.values[quantity.name];
    if (!value) return h(
      "td",
      { class: "heat-none" },
      h("span", { "aria-hidden": "true" }, "—"),
      bdi(whyNot(axes, quantity)),
    );
    const colour = colourAt(shareOf(value.value));
    const isReference = setting.reference === setting.id;
    const [text, ends] = valueAndEnds(quantity, value);
    const cell = h(
      "td",
      { class: isReference ? "heat-cell heat-reference" : "heat-cell", title: setting.label },
      h("strong", {}, text),
      h("span", {}, ends ?? "no interval"),
      value.remark ? bdi(value.remark, { class: "heat-remark" }) : null,
      isReference ? h("span", { class: "heat-mark" }, "reference") : null,
    );
    cell.style.backgroundColor = css(colour);
    cell.style.color = inkOn(colour);
    return cell;
  };

  // The better end is dark; where neither is better, the higher.
  const scaleOf = (quantity, values) => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const darkIsLow = quantity.better === "lower";
    const span = most - least || 1;
    const shareOf = (value) => (darkIsLow ? value - least : most - value) / span;
    const [dark, bright] = darkIsLow ? [least, most] : [most, least];
    return { shareOf, dark, bright };
  };
  const legendOf = (quantity, { dark, bright }) => {
    const bar = h("span", { class: "heat-bar", "aria-hidden": "true" });
    bar.style.backgroundImage = `linear-gradient(to right, ${RAMP.map(css).join(", ")})`;
    const [first, last] = quantity.better === "neither" ? ["highest", "lowest"] : ["best", "worst"];
    const from = `dark: ${first}, ${amountIn(quantity, dark)}`;
    return [h("span", {}, from), bar, h("span", {}, `bright: ${last}, ${amountIn(quantity, bright)}`)];
  };

  const headOf = (axis, value) => [bdi(axisText(axis, value)), axis.unit ? h("small", {}, axis.unit) : null];
  const tableOf = (quantity, down, across, fixed, legend) => {
    const there = new Map(shown().map((one) => [
      JSON.stringify([...differingAxes.map(({ name }) => one.axes[name])]),
      one,
    ]));
    const axesAt = (row, column) => ({ ...fixed, [down.name]: row, [across.name]: column });
    const at = (axes) => there.get(JSON.stringify(differingAxes.map(({ name }) => axes[name])));
    const [rows, columns] = [valuesShown(down), valuesShown(across)];
    const found = rows.flatMap((row) => columns.map((column) => at(axesAt(row, column))?.values[quantity.name]?.value));
    const values = found.filter((value) => value !== undefined);
    const scale = scaleOf(quantity, values);
    legend.replaceChildren(...(values.length ? legendOf(quantity, scale) : []));
    const body = rows.map((row) => {
      const cells = columns.map((column) => cellOf(
        at(axesAt(row, column)),
        axesAt(row, column),
        quantity,
        scale.shareOf,
      ));
      return h("tr", {}, h("th", { scope: "row" }, headOf(down, row)), cells);
    });
    const corner = h("td", { class: "heat-corner" }, `${down.label} ↓, ${across.label} →`);
    const heads = columns.map((column) => h("th", { scope: "col" }, headOf(across, column)));
    return h("table", { class: "heat" }, h("thead", {}, h("tr", {}, corner, heads)), h("tbody", {}, body));
  };

  const names = mostValues().map(({ name }) => name);
  const measured = report.quantities.filter(({ name }) => report.settings.some(({ values }) => name in values));
  const quantityNames = measured.map(({ name }) => name);
  const whyNone = () => {
    if (!measured.length) return "Nothing was measured yet.";
    const along = differingAxes.length ? `differ in ${differingAxes[0].label.toLowerCase()} alone` : "do not differ";
    return differingAxes.length < 2 ? `Settings ${along}: a map takes two axes.` : "";
  };
  // The two axes that are spread out; one that is asked for twice gives way.
  const spread = () => {
    const across = choices.get("hx", names);
    const asked = choices.get("hy", names);
    return [across, asked === across ? names.find((name) => name !== across) : asked];
  };
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  parts.set("heat", (element) => {
    if (whyNone()) {
      element.append(h("p", { class: "empty" }, whyNone()));
      return;
    }
    choices.initial("hq", quantityNames[0]);
    choices.initial("hx", names[0]);
    choices.initial("hy", names[1]);
    const axisOptions = names.map((name) => [name, axisNamed(name).label]);
    const holds = holding("hf", differingAxes);
    const controls = h(
      "div",
      { class: "controls" },
      select("Quantity", "hq", measured.map((one) => [one.name, quantityText(one)])),
      select("Columns", "hx", axisOptions),
      select("Rows", "hy", axisOptions),
      holds.controls,
    );
    const caption = h("p", { class: "caption", id: newId("heat") });
    const legend = h("p", { class: "heat-legend" });
    const box = h("div", { class: "scroll", role: "region", tabindex: "0", "aria-labelledby": caption.id });
    element.append(controls, caption, legend, box);

    const draw = () => {
      const quantity = quantities.get(choices.get("hq", quantityNames));
      const [across, down] = spread();
      const held = holds.values(shown(), differingAxes.filter(({ name }) => name !== across && name !== down));
      const where = Object.keys(held).length ? `, at ${heldWords(held)}` : "";
      const what = quantity.note ? `${capital(quantity.note)}. ` : "";
      caption.textContent = `${quantityText(quantity)}${where}. ${what}Below each value its 95 % interval.`;
      box.replaceChildren(tableOf(quantity, axisNamed(down), axisNamed(across), held, legend));
    };
    whenNear(element, ["shown", "hq", "hx", "hy", ...holds.names], draw);
  });
}
