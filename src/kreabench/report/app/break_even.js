// Own GPU or API: dollars an image over images a day.

{
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

  const controlsOf = (own, hosted, { main, advanced }) => [
    h(
      "div",
      { class: "controls" },
      chooser("Own GPU draws", "be.own", own),
      chooser("API draws", "be.hosted", hosted),
      select("The GPU is", "be.mode", BREAK_EVEN_MODES),
    ),
    h("div", { class: "be-fields" }, main.map((one) => one.element)),
    h(
      "details",
      { class: "be-more" },
      h("summary", {}, "More assumptions"),
      h("div", { class: "be-fields" }, advanced.map((one) => one.element)),
    ),
  ];
  const LAYOUT = {
    xaxis: { title: "Images a day", type: "log", dtick: 1 },
    yaxis: { title: "$ an image<br>↓ better", type: "log", tickprefix: "$", dtick: 1 },
    height: 440,
    margin: { t: 60 },
  };
  const HEADS = ["Images a day", ...BREAK_EVEN_MODES.map(([, text]) => `Own GPU, ${text}`), "API"];
  const initially = ({ own, hosted }) => {
    const likely = own.find(({ setting }) => setting === report.verdict.setting) ?? own[0];
    if (likely) choices.initial("be.own", likely.setting);
    if (hosted.length) choices.initial("be.hosted", hosted[0].setting);
    choices.initial("be.mode", BREAK_EVEN_MODES[0][0]);
  };

  parts.set("break_even", (element) => {
    const { own, hosted, notes } = report.break_even;
    initially(report.break_even);
    const inputs = breakEvenInputs(own.length > 0, hosted.length > 0, () => draw());
    const fields = [...inputs.main, ...inputs.advanced];
    const known = new Map([
      ...fields.map(({ input }) => [input.name, input]),
      ["seconds", { name: "seconds", above: 0 }],
    ]);
    const answer = h("p", { class: "lead be-answer", role: "status" });
    const basis = h("p", { class: "caption" });
    const chart = h("div", { class: "plot" });
    element.append(...controlsOf(own, hosted, inputs), answer, basis, chart);
    const table = twin(element);
    element.append(h("ul", { class: "notes" }, notes.map((text) => h("li", {}, bdi(text)))));

    const draw = () => {
      const [gpuOf, service] = [pick("be.own", own), pick("be.hosted", hosted)];
      const mode = choices.get("be.mode", BREAK_EVEN_MODES.map(([name]) => name));
      const state = breakEvenState(gpuOf, service, known);
      for (const { input, show } of fields) show(state.shownValues[input.name]);
      basis.textContent = basisOf(gpuOf, service, state);
      const capacity = state.missing.length ? 0 : ownGpu.capacityOf(state.gpu);
      chart.hidden = !(capacity > 0);
      if (chart.hidden) return drawNothing(state, answer, table);
      const found = ownGpu.breakEven(state.gpu, state.api, mode);
      answer.textContent = answerOfBreakEven(state, mode, found);
      answer.dataset.images = [found.images, found.low ?? null, found.high ?? null, capacity].map(String).join(" ");
      const said = { label: "Dollars an image over images a day", describe: answer.textContent };
      plot(chart, tracesOfBreakEven(state, mode, found), LAYOUT, said);
      table("Dollars an image.", HEADS, rowsOfBreakEven(state, mode, found));
    };
    const names = [...known.keys(), "own", "hosted", "mode"].map((name) => `be.${name}`);
    whenNear(element, names, draw);
  });

  const drawNothing = ({ missing }, answer, table) => {
    answer.textContent = missing.length
      ? `Say ${missing.join(", and ")}.`
      : "Loading takes the whole day: nothing is drawn.";
    delete answer.dataset.images;
    table("Nothing to draw.", ["Images a day"], []);
  };
  const basisOf = (own, hosted, { gpu }) =>
    [
      own
        ? `Measured: ${significant(gpu.seconds)} s an image of the device.`
        : "The report has no local setting with a latency: its seconds are yours to say.",
      hosted ? `API price: ${hosted.source}.` : "The report has no hosted setting with a price: it is yours to say.",
      own && own.joule_per_image === null && gpu.kwh > 0 ? "No energy was measured, so electricity adds nothing." : "",
    ].join(" ");
}
