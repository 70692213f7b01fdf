// Stages of each setting as bars, with the median of the whole and the physical floor.

const { hasTimes, wordOf, stageNames, stageTraces, barLayout, floorText, latencyOf, seconds } = (() => {
  const HOSTED = ["client", "submit", "queue", "inference", "result", "download"];
  const seconds = { label: "Time", unit: "s", scale: 1 };
  const latency = quantities.get("latency_s") ?? seconds;
  const wordOf = (stage) => stage.replaceAll("_", " ");

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
    return sum > 0 ? `${((100 * mean) / sum).toFixed(0)} % of the whole` : "of no time at all";
  };
  const floorText = ({ floor_s: floor, share_of_floor: share }) =>
    floor === null ? "—" : `${amount(seconds, floor)}${share ? `, ${significant(100 * share.value)} % of the median is physics` : ""}`;
  const marksOf = (list) => {
    const medians = list.flatMap((one, row) => {
      const value = one.values.latency_s;
      if (!value) return [];
      const lines = [nameAndReference(one), `median of the whole: ${describeValue(latency, value)}`];
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
  const stageTraces = (list) => [...barsOf(list), ...marksOf(list)];
  const latencyOf = (one) => describeValue(latency, one.values.latency_s);
  return { hasTimes, wordOf, stageNames, stageTraces, barLayout, floorText, latencyOf, seconds };
})();
