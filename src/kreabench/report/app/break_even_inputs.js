// What a reader may set for the break-even, as numbers beside sliders; while a slider moves its value is here, and the
// address takes it at the end, as browsers limit how often it may change.

const { breakEvenInputs, breakEvenState } = (() => {
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

  // Fields that lie open, and those below "More assumptions".
  const breakEvenInputs = (hasOwn, hasHosted, redraw) => ({
    main: inputs(hasOwn, hasHosted).map((one) => field(one, redraw)),
    advanced: advancedInputs(hasOwn, hasHosted).map((one) => field(one, redraw)),
  });
  return { breakEvenInputs, breakEvenState: assumed };
})();
