// The break-even in words, as traces and as rows.

const { BREAK_EVEN_MODES, answerOfBreakEven, tracesOfBreakEven, rowsOfBreakEven } = (() => {
  const MODES = [
    ["rented_while_used", "rented while it is used"],
    ["all_day", "paid all day"],
  ];
  const { capacityOf, imageUsd, breakEven, dayCounts } = ownGpu;
  const count = (value) => (value < 10 ? significant(value, 2) : fixed(value, 0));

  const answerOf = ({ gpu, api, images }, mode, found) => {
    const capacity = capacityOf(gpu);
    const how = MODES.find(([name]) => name === mode)[1];
    const parts = [];
    if (images > capacity) {
      parts.push(`${count(images)} images a day are more than one device draws (${count(capacity)} at most).`);
    } else {
      const own = imageUsd(gpu, mode, images);
      const cheaper = own < api ? "your own GPU costs less" : own > api ? "the API costs less" : "both cost the same";
      const both = `${usd(own)} an image of your own, ${how}, and ${usd(api)} of the API`;
      parts.push(`At ${count(images)} images a day ${cheaper}: ${both}.`);
    }
    if (found.images === null) return [...parts, `An own GPU never costs less: ${found.reason}.`].join(" ");
    const high = found.high === Infinity ? "without end" : count(found.high ?? 0);
    const ends = found.low === null ? "" : ` (${count(found.low)} to ${high} for the interval of its latency)`;
    return [...parts, `From ${count(found.images)} images a day on${ends} your own costs less.`].join(" ");
  };

  const curve = (gpu, mode, place) => ({
    name: `own GPU, ${MODES.find(([name]) => name === mode)[1]}`,
    mode: "lines",
    line: { width: 2.5 },
    ...place,
    points: dayCounts(capacityOf(gpu)).map((x) => {
      const y = imageUsd(gpu, mode, x);
      return {
        x,
        y,
        lines: [
          `own GPU, ${MODES.find(([name]) => name === mode)[1]}`,
          `${count(x)} images a day`,
          `${usd(y)} an image`,
        ],
      };
    }),
  });
  const bandOf = (gpu, mode, series) => {
    if (gpu.low === null || gpu.high === null) return [];
    const side = (seconds) => {
      const end = { ...gpu, seconds };
      return dayCounts(capacityOf(end)).map((x) => ({ x, y: imageUsd(end, mode, x) }));
    };
    const points = [...side(gpu.low), ...side(gpu.high).reverse()];
    return [{
      name: "95 % interval of its latency",
      points,
      mode: "lines",
      fill: "toself",
      series,
      line: { width: 0 },
      hoverinfo: "skip",
    }];
  };
  const marker = (name, x, y, symbol, lines) => ({
    name,
    mode: "markers",
    series: "ink",
    points: [{ x, y, lines }],
    marker: { symbol, size: 14, line: { width: 2 } },
  });
  const tracesOf = ({ gpu, api, images }, mode, found) => {
    const other = MODES.find(([name]) => name !== mode)[0];
    const capacity = capacityOf(gpu);
    const far = Math.max(capacity, images, found.images ?? 1);
    const line = [1, far].map((x) => ({ x: Math.min(x, capacity), y: api, lines: ["API", `${usd(api)} an image`] }));
    line[1].x = far;
    const now = imageUsd(gpu, mode, images);
    return [
      ...bandOf(gpu, mode, 0),
      { ...curve(gpu, other, { series: 2, mark: 1 }), line: { width: 1.2 } },
      curve(gpu, mode, { series: 0, mark: 0 }),
      { name: "API", points: line, mode: "lines", series: 1, mark: 2, line: { width: 2.5 } },
      ...(found.images > 0 ? [marker(
        "both cost the same",
        found.images,
        api,
        "circle-open",
        [`both cost the same at ${count(found.images)} images a day`],
      )] : []),
      ...(images <= capacity ? [marker(
        "images a day chosen",
        images,
        now,
        "diamond",
        [`${count(images)} images a day`, `${usd(now)} an image of your own`],
      )] : []),
    ];
  };
  const rowsOf = ({ gpu, api, images }, mode, found) => {
    const capacity = capacityOf(gpu);
    const points = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].filter((x) => x < capacity);
    const all = [...new Set([
      ...points,
      images,
      ...(found.images ? [found.images] : []),
      capacity,
    ])].sort((one, two) => one - two);
    const cell = (name, x) => (x > capacity ? "beyond one device" : usd(imageUsd(gpu, name, x)));
    return all.map((x) => [count(x), ...MODES.map(([name]) => cell(name, x)), usd(api)]);
  };

  return {
    BREAK_EVEN_MODES: MODES,
    answerOfBreakEven: answerOf,
    tracesOfBreakEven: tracesOf,
    rowsOfBreakEven: rowsOf,
  };
})();
