// Where the time goes: stages, steps and memory.

{
  const MOST_BARS = 40;
  const MOST_LINES = 8;
  const millis = { label: "Time", unit: "ms", scale: 0.001 };
  const memory = quantities.get("peak_memory_bytes") ?? { label: "Peak memory", unit: "MiB", scale: 2 ** 20 };
  const cell = (quantity, value) => (value === null ? "—" : amount(quantity, value));

  const wholeOf = (setting) => setting.values.latency_s?.value ?? setting.stages.reduce((sum, one) => sum + (one.mean_s ?? 0), 0);
  const ordered = () => {
    const list = shown().filter(hasTimes);
    return choices.get("to", ["plan", "fast"]) === "fast" ? list.sort((one, two) => wholeOf(one) - wholeOf(two)) : list;
  };
  const stagesNote = (all, list) => {
    if (!list.length) return "No setting shown was timed.";
    const floor = list.some((one) => one.floor_s !== null)
      ? " The upright mark is the time that the device cannot beat."
      : " No physical floor: no device of known peak speed drew them.";
    const how = "Stages are means, as they alone add up; the diamond is the median of the whole with its 95 % interval.";
    const cut = all.length > list.length ? ` The first ${list.length} of ${all.length} settings in this order are drawn.` : "";
    return `${how}${floor}${cut}`;
  };
  const stagesTable = (table, all) => {
    const names = stageNames().filter((name) => all.some(({ stages }) => stages.some((one) => one.name === name)));
    const mean = (one, name) => one.stages.find((stage) => stage.name === name)?.mean_s ?? null;
    const rows = all.map((one) => [
      nameAndReference(one),
      latencyOf(one),
      floorText(one),
      ...names.map((name) => cell(seconds, mean(one, name))),
    ]);
    const caption = "Median seconds of the whole, the physical floor, and mean seconds of each stage.";
    table(caption, ["Setting", "Median", "Floor", ...names.map(wordOf)], rows);
  };

  const stagesPart = (element) => {
    const note = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    const aside = h("p", { class: "set-aside" });
    const order = select("Order", "to", [["plan", "of the plan"], ["fast", "fastest first"]]);
    element.append(h("div", { class: "controls" }, order), note, chart, aside);
    const table = twin(element);
    return () => {
      const all = ordered();
      const list = all.slice(0, MOST_BARS);
      note.textContent = stagesNote(all, list);
      chart.hidden = !list.length;
      const said = { label: "Stages of each setting", describe: `${list.length} settings.`, select: openSetting };
      if (list.length) plot(chart, stageTraces(list), barLayout(list), said);
      const untimed = shown().filter((one) => !hasTimes(one));
      aside.textContent = setAsideNote("Not drawn", untimed.map((one) => one.absent.latency_s ?? "no stage was timed"));
      stagesTable(table, all);
    };
  };

  // The opened setting, references, then others in the order of the plan.
  const chosenOf = (fits) => {
    const list = shown().filter(fits);
    const first = list.filter(({ id }) => id === choices.get("open"));
    const references = list.filter((one) => one.reference === one.id);
    return [...new Set([...first, ...references, ...list])].slice(0, MOST_LINES);
  };

  const stepTraces = (list) =>
    list.map((one, at) => ({
      name: one.short || one.label,
      mode: "lines+markers",
      series: at,
      mark: at,
      marker: { size: 8 },
      points: one.steps_s.map((value, step) => ({
        x: step + 1,
        y: value / millis.scale,
        id: one.id,
        lines: [nameAndReference(one), `step ${step + 1}: ${amount(millis, value)}`],
      })),
    }));
  const STEPS_LAYOUT = {
    xaxis: { title: "Step", tickformat: "d" },
    yaxis: { title: "Milliseconds", rangemode: "tozero" },
    height: 380,
  };
  const stepsNote = (list, all) => {
    if (report.settings.every((one) => !one.steps_s.length)) {
      return "No step was timed on its own: services do not tell, and other runs did not ask.";
    }
    if (!list.length) return "No step of a setting shown was timed on its own.";
    const how = "the opened one, references, then the plan's order.";
    return `Median milliseconds of each denoising step of ${list.length} of ${all.length} settings: ${how}`;
  };
  const stepsPart = (element) => {
    const note = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    element.append(h("h3", {}, "Each step"), note, chart);
    const table = report.settings.some((one) => one.steps_s.length) ? twin(element) : () => {};
    return () => {
      const all = shown().filter((one) => one.steps_s.length);
      const list = chosenOf((one) => one.steps_s.length);
      chart.hidden = !list.length;
      note.textContent = stepsNote(list, all);
      const said = { label: "Time of each step", describe: `${list.length} settings.`, select: openSetting };
      if (list.length) plot(chart, stepTraces(list), STEPS_LAYOUT, said);
      const rowsOf = (one) => one.steps_s.map((value, step) => [
        nameAndReference(one),
        String(step + 1),
        amount(millis, value),
      ]);
      table("Median time of each step.", ["Setting", "Step", "Median"], all.flatMap(rowsOf));
    };
  };

  const weighed = (setting) => setting.stages.some((one) => one.allocated_bytes !== null || one.reserved_bytes !== null);
  const memoryTraces = (setting) => {
    const kinds = [["allocated", "allocated_bytes", 0], ["reserved", "reserved_bytes", 1]];
    const linesOf = (one, key, name) => [setting.label, `${wordOf(one.name)}: ${amount(memory, one[key])} ${name}`];
    const pointsOf = (key, name) => setting.stages.flatMap((one, row) =>
      one[key] === null ? [] : [{ x: row, y: one[key] / memory.scale, lines: linesOf(one, key, name) }],
    );
    return kinds.map(([name, key, at]) => ({ name, type: "bar", series: at, mark: at, points: pointsOf(key, name) }));
  };
  const memoryLayout = ({ stages }) => {
    const ticktext = stages.map(({ name }) => plotText(wordOf(name), 16));
    return {
      xaxis: { title: "", tickvals: stages.map((_, row) => row), ticktext },
      yaxis: { title: memory.unit, rangemode: "tozero" },
      barmode: "group",
      height: 360,
    };
  };
  const memoryRows = (one) => one.stages.map((stage) => [
    nameAndReference(one),
    wordOf(stage.name),
    cell(memory, stage.allocated_bytes),
    cell(memory, stage.reserved_bytes),
  ]);
  const memoryPart = (element) => {
    const options = report.settings.filter(weighed).map((one) => [one.id, nameAndReference(one)]);
    const note = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    element.append(h("h3", {}, "Memory of each stage"), note);
    if (!options.length) {
      note.textContent = "No memory by stage: there was no GPU.";
      return () => {};
    }
    const first = report.settings.find((one) => weighed(one) && one.reference === one.id)?.id ?? options[0][0];
    choices.initial("tm", first);
    element.append(h("div", { class: "controls" }, select("Setting", "tm", options)), chart);
    const table = twin(element);
    return () => {
      const setting = settings.get(choices.get("tm", options.map(([id]) => id)));
      note.textContent =
        "Highest peak of torch's allocator in each stage. " +
        "Reserved is what it took of the device, allocated what was in use.";
      const said = { label: "Memory of each stage", describe: setting.label };
      plot(chart, memoryTraces(setting), memoryLayout(setting), said);
      const rows = shown().filter(weighed).flatMap(memoryRows);
      table("Peak memory of each stage.", ["Setting", "Stage", "Allocated", "Reserved"], rows);
    };
  };

  parts.set("time", (element) => {
    if (!report.settings.some(hasTimes)) {
      element.append(h("p", { class: "empty" }, "No request was timed: nothing ran yet, or all failed."));
      return;
    }
    const [stages, steps, weights] = [h("div"), h("div"), h("div")];
    element.append(stages, steps, weights);
    whenNear(stages, ["shown", "to"], stagesPart(stages));
    whenNear(steps, ["shown", "open"], stepsPart(steps));
    whenNear(weights, ["shown", "tm"], memoryPart(weights));
  });
}
