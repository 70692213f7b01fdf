// Where the time goes: stages, steps and memory.

{
  const MOST_BARS = 40;
  const MOST_LINES = 8;
  const HOSTED = ["client", "submit", "queue", "inference", "result", "download"];
  const seconds = { label: "Time", unit: "s", scale: 1 };
  const millis = { label: "Time", unit: "ms", scale: 0.001 };
  const latency = quantities.get("latency_s") ?? seconds;
  const memory = quantities.get("peak_memory_bytes") ?? { label: "Peak memory", unit: "MiB", scale: 2 ** 20 };
  const wordOf = (stage) => stage.replaceAll("_", " ");
  const markOf = (setting) => setting.label + (setting.reference === setting.id ? " (reference)" : "");

  const wholeOf = (setting) => setting.values.latency_s?.value ?? setting.stages.reduce((sum, one) => sum + (one.mean_s ?? 0), 0);
  const hasTimes = (setting) => setting.stages.some(({ mean_s: mean }) => mean !== null);
  // Stages of a device and of a service alternate among the colours only within their kind.
  const stageNames = () => {
    const found = new Set(report.settings.flatMap(({ stages }) => stages.map(({ name }) => name)));
    found.delete("unexplained");
    return [...found, "unexplained"];
  };
  const styleOf = (name, at) => {
    if (name === "unexplained") return { series: "muted", mark: 1 };
    const hosted = HOSTED.indexOf(name);
    return hosted < 0 ? { series: at, mark: Math.floor(at / 7) } : { series: hosted, mark: 2 + (hosted % 3) };
  };

  const barsOf = (list) => {
    const reach = new Map(list.map((one) => [one.id, 0]));
    return stageNames()
      .map((name, at) => {
        const points = list.flatMap((setting, row) => {
          const stage = setting.stages.find((one) => one.name === name);
          if (!stage || stage.mean_s === null) return [];
          const end = reach.get(setting.id) + stage.mean_s;
          reach.set(setting.id, end);
          const lines = [
            setting.label,
            `${wordOf(name)}: ${amount(seconds, stage.mean_s)} on average`,
            shareText(stage.mean_s, setting),
          ];
          return [{ x: stage.mean_s, y: row, endX: end - stage.mean_s / 2, id: setting.id, lines }];
        });
        return { name: wordOf(name), points, type: "bar", orientation: "h", ...styleOf(name, at) };
      })
      .filter(({ points }) => points.length);
  };
  const shareText = (mean, setting) => {
    const sum = setting.stages.reduce((total, one) => total + (one.mean_s ?? 0), 0);
    return `${((100 * mean) / sum).toFixed(0)} % of the whole`;
  };
  const floorText = ({ floor_s: floor, share_of_floor: share }) =>
    floor === null ? "—" : `${amount(seconds, floor)}${share ? `, ${significant(100 * share.value)} % of the median is physics` : ""}`;
  const marksOf = (list) => {
    const medians = list.flatMap((one, row) => {
      const value = one.values.latency_s;
      if (!value) return [];
      const lines = [markOf(one), `median of the whole: ${describeValue(latency, value)}`];
      return [{ x: value.value, xLow: value.low, xHigh: value.high, y: row, id: one.id, lines }];
    });
    const floors = list.flatMap((one, row) =>
      one.floor_s === null ? [] : [{
        x: one.floor_s,
        y: row,
        id: one.id,
        lines: [one.label, `physical floor: ${floorText(one)}`],
      }],
    );
    const mark = (symbol, size, width) => ({ symbol, size, line: { width } });
    return [
      { name: "median, whole", points: medians, mode: "markers", series: "ink", marker: mark("diamond", 9, 1) },
      { name: "physical floor", points: floors, mode: "markers", series: "ink", marker: mark("line-ns-open", 18, 3) },
    ].filter(({ points }) => points.length);
  };
  // A narrow page breaks names between words.
  const twoLines = (text, most, narrow) => {
    const words = text.split(" ");
    let first = words.shift();
    while (narrow && words.length && `${first} ${words[0]}`.length <= most) first += ` ${words.shift()}`;
    return narrow && words.length ? `${plotText(first, most)}<br>${plotText(words.join(" "), most)}` : plotText(text, most);
  };
  const barLayout = (list) => (width) => {
    const narrow = width < 560;
    const left = Math.round(Math.min(width * 0.36, 280));
    return {
      xaxis: { title: "Seconds of a request, ↓ better", rangemode: "tozero" },
      yaxis: {
        tickvals: list.map((_, row) => row),
        ticktext: list.map((one) => twoLines(one.short || one.label, Math.max(Math.floor(left / 6.8), 8), narrow)),
        range: [list.length - 0.5, -0.5],
        automargin: false,
        showgrid: false,
      },
      barmode: "stack",
      bargap: 0.3,
      margin: { l: left, t: 60 },
      height: 150 + (narrow ? 34 : 24) * list.length,
    };
  };
  const ordered = () => {
    const list = shown().filter(hasTimes);
    return choices.get("to", ["plan", "fast"]) === "fast" ? list.sort((one, two) => wholeOf(one) - wholeOf(two)) : list;
  };

  const stagesPart = (element) => {
    const note = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    const aside = h("p", { class: "set-aside" });
    element.append(
      h("div", { class: "controls" }, select("Order", "to", [["plan", "of the plan"], ["fast", "fastest first"]])),
      note,
      chart,
      aside,
    );
    const table = twin(element);
    return () => {
      const all = ordered();
      const list = all.slice(0, MOST_BARS);
      const cut = all.length > list.length ? ` The first ${list.length} of ${all.length} settings in this order are drawn.` : "";
      const floor = list.some((one) => one.floor_s !== null)
        ? " The upright mark is the time that the device cannot beat."
        : " No physical floor: no device of known peak speed drew them.";
      const how = "Stages are means, as they alone add up; the diamond is the median of the whole with its 95 % interval.";
      note.textContent = `${how}${floor}${cut}`;
      chart.hidden = !list.length;
      if (list.length) {
        plot(
          chart,
          [...barsOf(list), ...marksOf(list)],
          barLayout(list),
          { label: "Stages of each setting", describe: `${list.length} settings.`, select: openSetting },
        );
      }
      aside.textContent = setAsideNote(
        "Not drawn",
        shown().filter((one) => !hasTimes(one)).map((one) => one.absent.latency_s ?? "no stage was timed"),
      );
      const names = stageNames().filter((name) => all.some(({ stages }) => stages.some((one) => one.name === name)));
      const mean = (one, name) => one.stages.find((stage) => stage.name === name)?.mean_s ?? null;
      const cell = (value) => (value === null ? "—" : amount(seconds, value));
      const rows = all.map((one) => [
        markOf(one),
        describeValue(latency, one.values.latency_s),
        floorText(one),
        ...names.map((name) => cell(mean(one, name))),
      ]);
      table(
        "Median seconds of the whole, the physical floor, and mean seconds of each stage.",
        ["Setting", "Median", "Floor", ...names.map(wordOf)],
        rows,
      );
    };
  };

  // The opened setting, references, then others in the order of the plan.
  const chosenOf = (fits) => {
    const list = shown().filter(fits);
    const first = list.filter(({ id }) => id === choices.get("open"));
    const references = list.filter((one) => one.reference === one.id);
    return [...new Set([...first, ...references, ...list])].slice(0, MOST_LINES);
  };

  const stepsPart = (element) => {
    const note = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    element.append(h("h3", {}, "Each step"), note, chart);
    const table = twin(element);
    return () => {
      const all = shown().filter((one) => one.steps_s.length);
      const list = chosenOf((one) => one.steps_s.length);
      chart.hidden = !list.length;
      note.textContent = list.length
        ? `Median milliseconds of each denoising step of ${list.length} of ${all.length} settings: ` +
          "the opened one, references, then the plan's order."
        : "No step was timed on its own: services do not tell, and other runs did not ask.";
      if (list.length) {
        const traces = list.map((one, at) => ({
          name: one.short || one.label,
          mode: "lines+markers",
          series: at,
          mark: at,
          marker: { size: 8 },
          points: one.steps_s.map((value, step) => ({
            x: step + 1,
            y: value / millis.scale,
            id: one.id,
            lines: [markOf(one), `step ${step + 1}: ${amount(millis, value)}`],
          })),
        }));
        const layout = {
          xaxis: { title: "Step", tickformat: "d" },
          yaxis: { title: "Milliseconds", rangemode: "tozero" },
          height: 380,
        };
        plot(
          chart,
          traces,
          layout,
          { label: "Time of each step", describe: `${list.length} settings.`, select: openSetting },
        );
      }
      const rows = all.flatMap((one) => one.steps_s.map((value, step) => [
        markOf(one),
        String(step + 1),
        amount(millis, value),
      ]));
      table("Median time of each step.", ["Setting", "Step", "Median"], rows);
    };
  };

  const weighed = (setting) => setting.stages.some((one) => one.allocated_bytes !== null || one.reserved_bytes !== null);
  const memoryPart = (element) => {
    const note = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    const options = report.settings.filter(weighed).map((one) => [one.id, markOf(one)]);
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
      const kinds = [["allocated", "allocated_bytes", 0], ["reserved", "reserved_bytes", 1]];
      const traces = kinds.map(([name, key, at]) => ({
        name,
        type: "bar",
        series: at,
        mark: at,
        points: setting.stages.flatMap((one, row) =>
          one[key] === null
            ? []
            : [{
              x: row,
              y: one[key] / memory.scale,
              lines: [setting.label, `${wordOf(one.name)}: ${amount(memory, one[key])} ${name}`],
            }],
        ),
      }));
      const ticks = {
        tickvals: setting.stages.map((_, row) => row),
        ticktext: setting.stages.map(({ name }) => plotText(wordOf(name), 16)),
      };
      const layout = {
        xaxis: { title: "", ...ticks },
        yaxis: { title: memory.unit, rangemode: "tozero" },
        barmode: "group",
        height: 360,
      };
      plot(chart, traces, layout, { label: "Memory of each stage", describe: setting.label });
      const cell = (value) => (value === null ? "—" : amount(memory, value));
      const rows = shown().filter(weighed).flatMap((one) => one.stages.map((stage) => [
        markOf(one),
        wordOf(stage.name),
        cell(stage.allocated_bytes),
        cell(stage.reserved_bytes),
      ]));
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
