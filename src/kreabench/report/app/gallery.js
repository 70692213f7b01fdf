// The pictures of the report by setting, prompt and seed, and the small things that the grid, the viewer and the list of
// losses show of them.

const gallery = (() => {
  const TILE = 160;
  const SMALL_PX = 80; // A picture with no longer side is enlarged with its pixels as squares; as in `thumbnails.py`.
  const LONG_TEXT = 220;
  const unitKey = (prompt, seed) => `${seed} ${prompt}`;

  const bySetting = new Map();
  const seeds = new Map(); // prompt → seed → number of its pictures
  for (const picture of report.pictures) {
    const { setting, prompt, seed } = picture;
    if (!bySetting.has(setting)) bySetting.set(setting, new Map());
    bySetting.get(setting).set(unitKey(prompt, seed), picture);
    if (!seeds.has(prompt)) seeds.set(prompt, new Map());
    seeds.get(prompt).set(seed, (seeds.get(prompt).get(seed) ?? 0) + 1);
  }
  const at = (setting, prompt, seed) => bySetting.get(setting)?.get(unitKey(prompt, seed));
  const shownPrompts = report.prompts.filter((prompt) => seeds.has(prompt.id)).map((prompt) => prompt.id);
  const allSeeds = [...new Set(report.pictures.map((picture) => picture.seed))].sort((a, b) => a - b);
  // The seed of a prompt with the most pictures, the least of several.
  const bestSeed = (prompt) => {
    const counts = [...(seeds.get(prompt) ?? [])].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    return counts[0]?.[0] ?? allSeeds[0];
  };

  const scored = new Set(report.pictures.flatMap((picture) => Object.keys(picture.scores)));
  const metrics = report.quantities.filter((quantity) => scored.has(quantity.name));
  const reference = (setting) => settings.get(setting)?.reference ?? null;
  const isReference = (setting) => reference(setting) === setting;
  // `short` tells settings of one run apart, and alone they are tried first.
  const shorts = new Set(report.settings.map((one) => one.short));
  const names = new Map();
  for (const { id, short, label } of report.settings) {
    names.set(id, (shorts.size === settings.size ? short : label) + (isReference(id) ? " (reference)" : ""));
  }
  const nameOf = (id) => names.get(id) ?? id;
  const altOf = (picture) => `${nameOf(picture.setting)}, prompt ${picture.prompt}, seed ${picture.seed}`;

  // Gives an image its picture and the sides it will have, so that nothing moves when it comes.
  const fill = (image, name, alt, { width, height }, px = TILE) => {
    const scale = px / Math.max(width, height, 1);
    image.alt = alt;
    image.width = Math.max(1, Math.round(width * scale));
    image.height = Math.max(1, Math.round(height * scale));
    image.src = address(name);
    image.classList.toggle("small", isSmall(width, height));
    return image;
  };
  const isSmall = (width, height) => Math.max(width, height) <= SMALL_PX;
  const image = (...given) => fill(h("img", { loading: "lazy", decoding: "async" }), ...given);
  const WORDS = { failed: "failed", pending: "not run yet", missing: "missing", unreadable: "unreadable", left_out: "left out" };
  const none = (state, reason) => {
    const title = WORDS[state] ?? state;
    const text = reason && reason !== title ? bdi(reason) : null;
    return h("div", { class: `no-picture ${state}`, title: reason || null }, h("strong", {}, title), text);
  };
  const LEFT_OUT = ["left_out", "not in this report"];
  const noPicture = (picture) => (picture ? none(picture.state, picture.reason) : none(...LEFT_OUT));
  const isShown = (picture) => picture?.state === "shown";
  const flag = (picture) => (picture.flag ? h("span", { class: "flag" }, picture.flag) : null);

  // A unit that is a phrase stands in the choosers and heads alone.
  const bare = (quantity) => (/[ ,]/.test(quantity.unit) ? { ...quantity, unit: "" } : quantity);
  const amountOf = (quantity, value) => amount(bare(quantity), value) + (quantity.brand ? "†" : "");
  const score = (quantity, picture) => {
    const value = picture.scores[quantity.name];
    return value === undefined ? "no score" : amountOf(quantity, value);
  };

  // Text of a prompt; a long one is closed until it is opened.
  const promptText = (id) => {
    const text = prompts.get(id)?.text ?? "";
    if (text.length <= LONG_TEXT) return h("p", { class: "prompt-text" }, bdi(text));
    const head = bdi(`${text.slice(0, LONG_TEXT).trimEnd()}…`);
    return h("details", { class: "prompt-text" }, h("summary", {}, head), h("p", {}, bdi(text)));
  };
  const shortText = (text, most = 70) => (text.length > most ? `${text.slice(0, most).trimEnd()}…` : text);
  const promptName = (id) => {
    const text = prompts.get(id)?.text;
    return text ? `${shortText(id, 30)}: ${shortText(text)}` : shortText(id);
  };
  const inputOf = (prompt) => {
    const name = prompts.get(prompt)?.input;
    if (!name) return null;
    const alt = `input picture of prompt ${prompt}`;
    const input = h("img", { loading: "lazy", decoding: "async", alt, src: address(name) });
    input.addEventListener("load", () => input.classList.toggle("small", isSmall(input.naturalWidth, input.naturalHeight)));
    return h("figure", { class: "input-picture" }, input, h("figcaption", {}, "input"));
  };
  return {
    at, shownPrompts, allSeeds, seeds, bestSeed, metrics, reference, isReference, nameOf, altOf, fill, image, none, noPicture,
    isShown, isSmall, flag, bare, amountOf, score, promptText, promptName, shortText, inputOf,
  };
})();
