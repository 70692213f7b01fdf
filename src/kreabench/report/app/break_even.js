// Own GPU or API: dollars an image over images a day.

{
  const MODES = [
    ["rented_while_used", "rented while it is used"],
    ["all_day", "paid all day"],
  ];
  const { capacityOf, imageUsd, breakEven, dayCounts } = ownGpu;
  const count = (value) => (value < 10 ? significant(value, 2) : fixed(value, 0));

  // What a reader may set: name, label, unit in words, and the slider's ends; a logarithmic slider runs over exponents.
  const inputs = (hasOwn, hasHosted) => [
    ...(hasOwn ? [] : [{
      name: "seconds",
      label: "Seconds an image",
      unit: "seconds an image",
      from: -2,
      to: 2,
      log: true,
      above: 0,
    }]),
    { name: "hour", label: "GPU, $ an hour", unit: "dollars an hour", from: 0, to: 12, step: 0.05, above: -1 },
    {
      name: "use",
      label: "Utilisation, %",
      unit: "percent of the paid time",
      from: 1,
      to: 100,
      step: 1,
      above: 0,
      most: 100,
    },
    { name: "images", label: "Images a day", unit: "images a day", from: 0, to: 6, log: true, above: 0 },
    ...(hasHosted ? [] : [apiInput]),
  ];
  const apiInput = {
    name: "api",
    label: "API, $ an image",
    unit: "dollars an image",
    from: -4,
    to: 0,
    log: true,
    above: -1,
  };
  const advancedInputs = (hasOwn, hasHosted) => [
    { name: "loads", label: "Loads of the model a day", unit: "loads a day", from: 0, to: 48, step: 1, above: -1 },
    { name: "load_s", label: "Seconds of one load", unit: "seconds", from: 0, to: 600, step: 5, above: -1 },
    {
      name: "kwh",
      label: "Electricity, $ a kWh",
      unit: "dollars a kilowatt-hour",
      from: 0,
      to: 1,
      step: 0.01,
      above: -1,
    },
    ...(hasHosted ? [apiInput] : []),
  ];

  // While a slider moves its value is here; the address takes it at the end, as browsers limit how often it may change.
  const moving = new Map();
  const said = (name) => moving.get(name) ?? choices.get(`be.${name}`);
  const numberOf = ({ name, above, most = Infinity }, otherwise) => {
    const text = said(name).trim();
    const value = Number(text);
    return text !== "" && Number.isFinite(value) && value > above && value <= most && value >= 0 ? value : otherwise;
  };

  const field = (input, redraw) => {
    const { name, label, unit, from, to, step = 0.01, log = false } = input;
    const id = newId("be");
    const box = h("input", { type: "number", id, min: "0", step: "any", inputmode: "decimal" });
    const slider = h(
      "input",
      { type: "range", min: String(from), max: String(to), step: String(step), "aria-label": `${label}, slider` },
    );
    const typed = (value) => {
      moving.set(name, value);
      redraw();
    };
    const settle = () => {
      if (!moving.has(name)) return;
      const value = moving.get(name);
      moving.delete(name);
      choices.set({ [`be.${name}`]: value });
    };
    const ofSlider = () => (log ? Number((10 ** slider.valueAsNumber).toPrecision(3)) : slider.valueAsNumber);
    box.addEventListener("input", () => typed(box.value));
    slider.addEventListener("input", () => typed(String(ofSlider())));
    for (const one of [box, slider]) one.addEventListener("change", settle);
    const show = (value) => {
      const text = value === null ? "" : String(value);
      if (document.activeElement !== box) box.value = text;
      slider.value = String(value === null ? from : log ? Math.log10(Math.max(value, 10 ** from)) : value);
      slider.setAttribute("aria-valuetext", value === null ? "not said" : `${value.toLocaleString("en-US")} ${unit}`);
    };
    const element = h("div", { class: "be-field" }, h("label", { for: id }, label), box, slider);
    return { input, element, show };
  };

  // Everything that the sums need, or null beside what is missing.
  const assumed = (own, hosted, known) => {
    const value = (name, otherwise) => numberOf(known.get(name), otherwise);
    const gpu = {
      hour: value("hour", own?.usd_per_hour ?? null),
      seconds: own ? own.seconds_per_image : value("seconds", null),
      low: own?.seconds_low ?? null,
      high: own?.seconds_high ?? null,
      use: value("use", 100) / 100,
      loads: value("loads", 1),
      loadS: value("load_s", own?.load_s ?? 0),
      joule: own?.joule_per_image ?? 0,
      kwh: value("kwh", 0),
    };
    const api = value("api", hosted?.usd_per_image ?? null);
    const images = value("images", 1000);
    const shownValues = {
      hour: gpu.hour,
      seconds: gpu.seconds,
      use: gpu.use * 100,
      images,
      loads: gpu.loads,
      load_s: gpu.loadS,
      kwh: gpu.kwh,
      api,
    };
    const missing = [
      gpu.hour === null ? "what an hour of the GPU costs" : null,
      gpu.seconds === null ? "how many seconds it takes for an image" : null,
      api === null ? "what an image of the API costs" : null,
    ].filter(Boolean);
    return { gpu, api, images, shownValues, missing };
  };

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

  const chooser = (label, choice, list) =>
    list.length ? select(
      label,
      choice,
      list.map((one) => [one.setting, settings.get(one.setting)?.label ?? one.setting]),
    ) : null;
  const pick = (choice, list) => {
    const chosen = choices.get(choice, list.map(({ setting }) => setting));
    return list.find(({ setting }) => setting === chosen);
  };

  parts.set("break_even", (element) => {
    const { own, hosted, notes } = report.break_even;
    const likely = own.find(({ setting }) => setting === report.verdict.setting) ?? own[0];
    if (likely) choices.initial("be.own", likely.setting);
    if (hosted.length) choices.initial("be.hosted", hosted[0].setting);
    choices.initial("be.mode", MODES[0][0]);
    const redraw = () => draw();
    const main = inputs(own.length > 0, hosted.length > 0).map((one) => field(one, redraw));
    const advanced = advancedInputs(own.length > 0, hosted.length > 0).map((one) => field(one, redraw));
    const fields = [...main, ...advanced];
    const known = new Map([
      ...fields.map(({ input }) => [input.name, input]),
      ["seconds", { name: "seconds", above: 0 }],
    ]);
    const answer = h("p", { class: "lead be-answer", role: "status" });
    const basis = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    element.append(
      h(
        "div",
        { class: "controls" },
        chooser("Own GPU draws", "be.own", own),
        chooser("API draws", "be.hosted", hosted),
        select("The GPU is", "be.mode", MODES),
      ),
      h("div", { class: "be-fields" }, main.map((one) => one.element)),
      h(
        "details",
        { class: "be-more" },
        h("summary", {}, "More assumptions"),
        h("div", { class: "be-fields" }, advanced.map((one) => one.element)),
      ),
      answer,
      basis,
      chart,
    );
    const table = twin(element);
    element.append(h("ul", { class: "notes" }, notes.map((text) => h("li", {}, bdi(text)))));

    const draw = () => {
      const [gpuOf, service] = [pick("be.own", own), pick("be.hosted", hosted)];
      const mode = choices.get("be.mode", MODES.map(([name]) => name));
      const state = assumed(gpuOf, service, known);
      for (const { input, show } of fields) show(state.shownValues[input.name]);
      basis.textContent = basisOf(gpuOf, service, state);
      const capacity = state.missing.length ? 0 : capacityOf(state.gpu);
      chart.hidden = !(capacity > 0);
      if (chart.hidden) {
        const lacking = `Say ${state.missing.join(", and ")}.`;
        answer.textContent = state.missing.length ? lacking : "Loading takes the whole day: nothing is drawn.";
        delete answer.dataset.images;
        table("Nothing to draw.", ["Images a day"], []);
        return;
      }
      const found = breakEven(state.gpu, state.api, mode);
      answer.textContent = answerOf(state, mode, found);
      answer.dataset.images = [found.images, found.low ?? null, found.high ?? null, capacity].map(String).join(" ");
      const layout = {
        xaxis: { title: "Images a day", type: "log", dtick: 1 },
        yaxis: { title: "$ an image<br>↓ better", type: "log", tickprefix: "$", dtick: 1 },
        height: 440,
        margin: { t: 60 },
      };
      plot(
        chart,
        tracesOf(state, mode, found),
        layout,
        { label: "Dollars an image over images a day", describe: answer.textContent },
      );
      table(
        "Dollars an image.",
        ["Images a day", ...MODES.map(([, text]) => `Own GPU, ${text}`), "API"],
        rowsOf(state, mode, found),
      );
    };
    const names = [...known.keys(), "own", "hosted", "mode"].map((name) => `be.${name}`);
    whenNear(element, names, draw);
  });

  const basisOf = (own, hosted, { gpu }) =>
    [
      own
        ? `Measured: ${significant(gpu.seconds)} s an image of the device.`
        : "The report has no local setting with a latency: its seconds are yours to say.",
      hosted ? `API price: ${hosted.source}.` : "The report has no hosted setting with a price: it is yours to say.",
      own && own.joule_per_image === null && gpu.kwh > 0 ? "No energy was measured, so electricity adds nothing." : "",
    ].join(" ");
}
