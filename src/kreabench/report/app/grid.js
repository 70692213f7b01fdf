// The X/Y grid of pictures: any two axes, prompt and seed among them; everything else is held by a chooser.

parts.set("pictures", (element) => {
  const { code, differing, dimensions, named, fixed, settingFor, whyNone } = gridAxes;
  const intro = h("p", { class: "caption" }, report.pictures_note || null);
  if (!report.pictures.length) {
    element.append(h("p", { class: "empty" }, report.pictures_note || "No sample has run yet: there is no picture."));
    return;
  }
  const LARGE = 200; // Pixels of a tile; above them it shows the larger file.
  // As chosen; else so large that `columns` fill the page.
  const tilePx = (columns) => {
    const fit = Math.min(184, Math.max(96, Math.floor((element.clientWidth - 150) / columns) - 14));
    return Math.min(320, Math.max(64, Number(choices.get("gz")) || fit));
  };
  choices.initial("gp", gallery.shownPrompts[0]);
  choices.initial("gm", (gallery.metrics.find((one) => one.better !== "neither") ?? gallery.metrics[0])?.name ?? "none");
  choices.initial("go", "plan");
  const holders = differing.map((axis) => ({
    axis,
    element: select(axis.label, `g.${axis.name}`, axis.values.map((value) => [code(value), named(axis.name).text(value)])),
  }));
  const chooser = promptChooser();
  const seedOf = (prompt) => {
    const seed = Number(choices.get("gs") || NaN);
    return gallery.seeds.get(prompt)?.has(seed) ? seed : gallery.bestSeed(prompt);
  };
  const seedChooser = h("select", { id: newId("seed"), onchange: () => choices.set({ gs: seedChooser.value }) });
  const seedLabel = h("label", { class: "choice", for: seedChooser.id }, h("span", {}, "Seed"), seedChooser);

  const axisOptions = dimensions.filter((one) => one.values.length > 1).map((one) => [one.name, one.label]);
  const size = h("input", {
    type: "range", min: "64", max: "320", step: "8", id: newId("size"), oninput: () => choices.set({ gz: size.value }),
  });
  const metricOptions = [["none", "none"], ...gallery.metrics.map((one) => [one.name, quantityText(one)])];
  const across = h(
    "div",
    { class: "picture-controls" },
    select("Across", "gx", axisOptions),
    select("Down", "gy", axisOptions),
    select("Score", "gm", metricOptions),
    select("Rows", "go", [["plan", "in their order"], ["worst", "worst score first"], ["best", "best score first"]]),
    h("label", { class: "choice", for: size.id }, h("span", {}, "Size of pictures"), size),
  );
  const held = h("div", { class: "picture-controls" }, seedLabel, holders.map((one) => one.element));
  const status = h("p", { class: "caption", role: "status" });
  const card = h("div", { class: "prompt-card" });
  const table = h("table", { class: "grid pictures-grid" });
  const head = newId("grid");
  const partner = report.settings.some((one) => one.counterpart) ? "equal in the first run, or its reference" : "reference";
  const box = h("div", { class: "scroll pictures-scroll", role: "region", tabindex: "0", "aria-labelledby": head }, table);
  box.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || chooser.element.hidden) return;
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    chooser.step(event.key === "ArrowRight" ? 1 : -1);
  });
  element.append(intro, across, chooser.element, held, card, status, box);

  // Axes, prompt and seed of the cell at x and y.
  const cellAt = (plan, x, y) => {
    const said = { [plan.x.name]: x, [plan.y.name]: y };
    const prompt = said.prompt ?? plan.prompt;
    const seed = said.seed ?? seedOf(prompt);
    if (said.setting) return { prompt, seed, setting: settings.get(said.setting), elsewhere: [], wanted: {} };
    const wanted = Object.fromEntries([plan.x, plan.y].filter((one) => one.kind === "axis").map((one) => [one.name, said[one.name]]));
    const key = code(wanted);
    if (!plan.found.has(key)) plan.found.set(key, settingFor(plan.among, wanted));
    return { prompt, seed, wanted, ...plan.found.get(key) };
  };
  const filled = (cell) => (cell.setting ? { ...cell, picture: gallery.at(cell.setting.id, cell.prompt, cell.seed) } : cell);

  // Tiles are kept from one drawing to the next: there may be thousands, and most only move or get another score. One
  // picture may stand in several cells; each has a tile of its own.
  const EMPTY = h(
    "figure",
    { class: "picture" },
    h("button", { type: "button", class: "tile" }, h("img", { loading: "lazy", decoding: "async" })),
    h("figcaption", {}, document.createTextNode("")),
  );
  const kept = new Map();
  const tileOf = (picture, plan) => {
    const found = kept.get(picture);
    if (found && found.plan !== plan) return Object.assign(found, { plan });
    const figure = EMPTY.cloneNode(true);
    const [button, caption] = figure.children;
    if (picture.flag) button.append(gallery.flag(picture));
    if (gallery.isReference(picture.setting)) caption.append(h("span", { class: "is-reference" }, "reference"));
    const made = { plan, figure, button, caption, image: button.firstChild, score: caption.firstChild, file: "", marks: [] };
    kept.set(picture, made);
    return made;
  };
  const tile = (cell, plan) => {
    if (!cell.setting) return gallery.none(...whyNone(cell.wanted));
    const { picture } = cell;
    const chosen = cell.setting.id === plan.open;
    const marks = [
      chosen ? h("span", { class: "chosen-mark" }, "chosen") : null,
      cell.elsewhere.length ? h("small", {}, cell.elsewhere.join(", ")) : null,
    ].filter(Boolean);
    if (!gallery.isShown(picture)) return h("div", { class: chosen ? "picture chosen" : "picture" }, gallery.noPicture(picture), marks);
    const made = tileOf(picture, plan);
    const file = plan.px > LARGE && picture.view ? picture.view : picture.thumbnail;
    if (made.file !== file) gallery.fill(made.image, file, gallery.altOf(picture), picture, plan.px);
    made.figure.classList.toggle("chosen", chosen);
    made.score.nodeValue = plan.metric ? gallery.score(plan.metric, picture) : "";
    for (const mark of made.marks) mark.remove();
    made.caption.append(...marks);
    Object.assign(made, { file, marks });
    plan.tiles.set(made.button, cell);
    return made.figure;
  };
  const cellOf = (content) => {
    const cell = document.createElement("td");
    cell.append(content);
    return cell;
  };

  const sorted = (rows, plan) => {
    const order = choices.get("go", ["plan", "worst", "best"]);
    if (order === "plan" || !plan.metric) return rows;
    const mean = (row) => {
      const values = row.cells.map((cell) => cell.picture?.scores[plan.metric.name]).filter((value) => value !== undefined);
      return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : NaN;
    };
    const sign = (plan.metric.better === "lower" ? -1 : 1) * (order === "worst" ? 1 : -1);
    const keyed = rows.map((row) => [row, sign * mean(row)]);
    return keyed.sort((a, b) => (Number.isNaN(a[1]) ? 1 : Number.isNaN(b[1]) ? -1 : a[1] - b[1])).map(([row]) => row);
  };

  const headOf = (dimension, value, scope) => {
    if (dimension.kind !== "prompt") return h("th", { scope }, bdi(dimension.text(value)));
    return h("th", { scope }, bdi(gallery.shortText(value, 60), { class: "prompt-id" }), gallery.promptText(value), gallery.inputOf(value));
  };
  const valuesOf = (dimension, among) => {
    if (dimension.kind === "setting") return among.map((one) => one.id);
    if (dimension.kind !== "axis") return dimension.values;
    const there = new Set(among.map((one) => one.axes[dimension.name]));
    return dimension.values.filter((value) => there.has(value));
  };

  // Shows what stands still, and hides the choosers of what does not.
  const hold = (plan) => {
    const bySetting = plan.x.kind === "setting" || plan.y.kind === "setting";
    for (const { axis, element: one } of holders) one.hidden = bySetting || [plan.x.name, plan.y.name].includes(axis.name);
    const free = (name) => plan.x.name !== name && plan.y.name !== name;
    chooser.element.hidden = !free("prompt");
    seedLabel.hidden = !free("seed") || gallery.allSeeds.length < 2;
    const own = free("prompt") ? [...(gallery.seeds.get(plan.prompt)?.keys() ?? [])].sort((a, b) => a - b) : gallery.allSeeds;
    seedChooser.replaceChildren(...own.map((seed) => h("option", { value: String(seed) }, String(seed))));
    seedChooser.value = String(free("prompt") ? seedOf(plan.prompt) : choices.get("gs") || own[0]);
    card.replaceChildren(...(free("prompt") ? [gallery.promptText(plan.prompt), gallery.inputOf(plan.prompt)].filter(Boolean) : []));
    held.hidden = [...held.children].every((child) => child.hidden);
  };

  const draw = () => {
    const names = axisOptions.map(([name]) => name);
    const x = named(choices.get("gx", names));
    let y = named(choices.get("gy", names));
    if (x === y) y = named(names.find((name) => name !== x.name) ?? "prompt");
    const metric = quantities.get(choices.get("gm", metricOptions.map(([name]) => name))) ?? null;
    const among = shown();
    const xs = valuesOf(x, among);
    const px = tilePx(xs.length);
    const plan = { x, y, xs, among, metric, px, prompt: chooser.value(), open: choices.get("open"), found: new Map(), tiles: new Map() };
    size.value = String(px);
    hold(plan);
    const rows = valuesOf(y, among).map((value) => ({ value, cells: xs.map((one) => filled(cellAt(plan, one, value))) }));
    const lines = sorted(rows, plan).map((row) => h("tr", {}, headOf(y, row.value, "row"), row.cells.map((cell) => cellOf(tile(cell, plan)))));
    const corner = h("th", { scope: "col" }, `${y.label} ↓ ${x.label} →`);
    table.replaceChildren(
      h("caption", { class: "hidden", id: head }, `Pictures, ${x.label} across and ${y.label} down`),
      h("thead", {}, h("tr", {}, corner, xs.map((value) => headOf(x, value, "col")))),
      h("tbody", {}, lines),
    );
    table.style.setProperty("--tile", `${px}px`);
    drawn = plan;
    const seen = [...plan.tiles.values()].length;
    const hidden = plan.open && settings.has(plan.open) && !among.some((one) => one.id === plan.open);
    status.textContent = [
      `${seen} ${seen === 1 ? "picture" : "pictures"}; a click compares one with its ${partner}.`,
      metric?.brand ? `† ${metric.name}: ${metric.brand}.` : "",
      hidden ? `The chosen setting, ${gallery.nameOf(plan.open)}, is hidden by a filter.` : "",
    ].filter(Boolean).join(" ");
  };
  let drawn = null;
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button.tile");
    const cell = button && drawn.tiles.get(button);
    if (!cell) return;
    const around = [...drawn.tiles.values()].map((one) => ({ prompt: one.prompt, seed: one.seed, right: one.setting.id }));
    openViewer({ prompt: cell.prompt, seed: cell.seed, right: cell.setting.id }, around, button);
  });

  // Moves the grid, not the page: whoever chose the setting says where that goes.
  const show = (tile) => {
    if (!tile) return;
    const [inner, outer] = [tile.getBoundingClientRect(), box.getBoundingClientRect()];
    const middle = (one) => [one.left + one.width / 2, one.top + one.height / 2];
    const [x, y] = middle(inner).map((at, axis) => at - middle(outer)[axis]);
    box.scrollBy(x, y);
  };

  // A setting that was chosen elsewhere: the grid goes to it.
  const goTo = () => {
    const setting = settings.get(choices.get("open"));
    if (setting) choices.set(Object.fromEntries(differing.map((axis) => [`g.${axis.name}`, code(setting.axes[axis.name])])));
  };
  goTo();
  draw();
  choices.watch(["shown", "gx", "gy", "gp", "gs", "gm", "go", ...differing.map((axis) => `g.${axis.name}`)], draw);
  choices.watch(["gz"], () => {
    const px = tilePx(drawn.xs.length);
    size.value = String(px);
    if (px > LARGE !== drawn.px > LARGE) draw();
    else table.style.setProperty("--tile", `${px}px`);
  });
  choices.watch(["open"], () => {
    const before = drawn;
    goTo();
    if (drawn === before) draw();
    show(table.querySelector(".chosen"));
  });
  element.append(...worstLosses());
});

// The prompt that stands still: a list, words to look for in it, the one before and the one after.
function promptChooser() {
  const FEW = 8;
  const all = gallery.shownPrompts;
  const list = h("select", { id: newId("prompt"), onchange: () => choices.set({ gp: list.value }) });
  const find = h("input", { type: "search", id: newId("find"), autocomplete: "off", placeholder: "words of the prompt" });
  const options = new Map(all.map((id) => [id, h("option", { value: id }, gallery.promptName(id))]));
  const value = () => choices.get("gp", all);
  let matching = all;
  const step = (by) => {
    const at = matching.indexOf(value());
    choices.set({ gp: matching[(at + by + matching.length) % matching.length] });
  };
  const previous = h("button", { type: "button", onclick: () => step(-1) }, "← Previous");
  const next = h("button", { type: "button", onclick: () => step(1) }, "Next →");
  const follow = () => {
    list.value = value();
    previous.disabled = next.disabled = matching.length < 2 && matching.includes(value());
  };
  const search = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (id) => {
      const text = `${id} ${prompts.get(id).text} ${prompts.get(id).category}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const found = all.filter(fits);
    found.length ? find.removeAttribute("aria-invalid") : find.setAttribute("aria-invalid", "true");
    matching = found.length ? found : all;
    list.replaceChildren(...matching.map((id) => options.get(id)));
    if (!matching.includes(value())) choices.set({ gp: matching[0] });
    follow();
  };
  find.addEventListener("input", search);
  list.append(...options.values());
  follow();
  choices.watch(["gp"], follow);
  const looked = h("label", { class: "choice", for: find.id }, h("span", {}, "Find a prompt"), find);
  looked.hidden = all.length <= FEW;
  const element = h(
    "div",
    { class: "picture-controls prompt-chooser", role: "group", "aria-label": "Prompt" },
    h("label", { class: "choice wide", for: list.id }, h("span", {}, `Prompt, one of ${all.length}`), list),
    previous,
    next,
    looked,
  );
  return { element, value, step };
}
