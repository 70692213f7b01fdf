// Two pictures of the same prompt and seed, compared: side by side, with a slider, blinking, as their difference, zoomed.

const openViewer = (() => {
  const MODES = [["side", "Side by side"], ["slider", "Slider"], ["blink", "Blink"], ["difference", "Difference"]];
  const HALF_BLINK_MS = 500;
  let view = null; // prompt, seed, left and right: ids of settings; mode
  let around = []; // the same, without mode, and without left where that is the usual one: what is before and after
  let opener = null;
  let made = null;

  // Settings that the report has something of, at this prompt and seed.
  const there = () => report.settings.filter((one) => gallery.at(one.id, view.prompt, view.seed)).map((one) => one.id);
  // What a setting is compared with: its equal in the first run, else its reference, else any that has a picture.
  const partnerOf = (right) => {
    const others = there().filter((id) => id !== right);
    const usual = [settings.get(right)?.counterpart, gallery.reference(right)].find((id) => others.includes(id));
    return usual ?? others.find((id) => gallery.isShown(gallery.at(id, view.prompt, view.seed))) ?? right;
  };
  const pictureOf = (side) => gallery.at(view[side], view.prompt, view.seed);

  const make = () => {
    const title = h("h2", { id: newId("viewer") });
    const sides = { left: h("select", { id: newId("side") }), right: h("select", { id: newId("side") }) };
    for (const [side, list] of Object.entries(sides)) list.addEventListener("change", () => change({ [side]: list.value }));
    const labelled = (side, text) => h("label", { class: "choice", for: sides[side].id }, h("span", {}, text), sides[side]);
    const modes = MODES.map(([mode, text]) => h("button", { type: "button", "data-mode": mode, onclick: () => change({ mode }) }, text));
    const stage = viewerStage({ onStep: step, onSplit: (share) => (slider.input.value = String(Math.round(share * 100))) });
    const range = (label, attributes, then) => {
      const input = h("input", { type: "range", id: newId("range"), ...attributes, oninput: () => then(Number(input.value)) });
      return { input, element: h("label", { class: "choice wide", for: input.id }, h("span", {}, label), input) };
    };
    const slider = range("Where the right picture begins", { min: "0", max: "100", value: "50" }, (value) => stage.split(value / 100));
    const gain = range("Differences, times", { min: "1", max: "20", value: "4" }, (value) => {
      stage.amplify(value);
      gain.input.setAttribute("aria-valuetext", `${value} times`);
    });
    const blink = blinker(stage);
    const level = h("output", {}, "1×");
    stage.element.addEventListener("zoomed", (event) => (level.textContent = `${event.detail.toFixed(1)}×`));
    const zoomButton = (text, name, then) => h("button", { type: "button", "aria-label": name, onclick: then }, text);
    const zoom = h(
      "div",
      { class: "zoom", role: "group", "aria-label": "Zoom" },
      zoomButton("−", "Zoom out", () => stage.zoomBy(-1)),
      level,
      zoomButton("+", "Zoom in", () => stage.zoomBy(1)),
      zoomButton("Whole", "Whole picture", () => stage.reset()),
    );
    const previous = h("button", { type: "button", onclick: () => step(-1) }, "← Previous");
    const next = h("button", { type: "button", onclick: () => step(1) }, "Next →");
    const close = h("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close");
    const facts = h("div", { class: "viewer-facts" });
    const note = h("p", { class: "caption", role: "status" });
    const dialog = h(
      "dialog",
      { class: "viewer", "aria-labelledby": title.id },
      h("div", { class: "viewer-head" }, title, previous, next, close),
      h("div", { class: "viewer-controls" }, labelled("left", "Left"), labelled("right", "Right")),
      h("div", { class: "viewer-controls" }, h("div", { class: "modes", role: "group", "aria-label": "How to compare" }, modes), zoom),
      h("div", { class: "viewer-controls" }, slider.element, gain.element, blink.element),
      stage.element,
      note,
      facts,
    );
    dialog.addEventListener("keydown", (event) => stage.key(event));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      blink.stop();
      choices.set({ view: "" });
      opener?.isConnected && opener.focus({ preventScroll: true });
    });
    document.body.append(dialog);
    return { dialog, title, sides, modes, stage, slider, gain, blink, facts, note, previous, next };
  };

  const draw = () => {
    const { dialog, title, sides, modes, stage, slider, gain, blink, facts, note, previous, next } = made;
    const ids = there();
    title.replaceChildren(bdi(gallery.shortText(view.prompt, 80)), `, seed ${view.seed}`);
    for (const [side, list] of Object.entries(sides)) {
      list.replaceChildren(...ids.map((id) => h("option", { value: id }, gallery.nameOf(id))));
      list.value = view[side];
    }
    for (const button of modes) button.setAttribute("aria-pressed", String(button.dataset.mode === view.mode));
    const pictures = ["left", "right"].map(pictureOf);
    const box = pictures.find(gallery.isShown) ?? { width: 1, height: 1 };
    stage.setMode(view.mode);
    stage.put(pictures.map(paneOf), box.width / box.height);
    slider.element.hidden = view.mode !== "slider";
    gain.element.hidden = view.mode !== "difference";
    blink.show(view.mode === "blink");
    if (view.mode === "slider") stage.split(Number(slider.input.value) / 100);
    if (view.mode === "difference") stage.amplify(Number(gain.input.value));
    note.textContent = viewerNotes(pictures, view.mode).join(" ");
    facts.replaceChildren(...viewerFacts(view, pictures));
    previous.disabled = next.disabled = around.length < 2;
    if (!dialog.open) dialog.showModal();
    choices.set({ view: JSON.stringify(view) });
  };
  const paneOf = (picture, place) => {
    const side = place ? "right" : "left";
    const label = h("span", { class: "pane-label" }, place ? "Right" : "Left", bdi(`: ${gallery.nameOf(view[side])}`, { class: "more" }));
    if (!gallery.isShown(picture)) return [gallery.noPicture(picture), label];
    const image = h("img", { alt: gallery.altOf(picture), draggable: "false", src: address(picture.view || picture.thumbnail) });
    image.classList.toggle("small", gallery.isSmall(picture.width, picture.height));
    return [image, label, gallery.flag(picture)].filter(Boolean);
  };

  const change = (changes) => {
    view = { ...view, ...changes };
    draw();
  };
  const step = (by) => {
    const at = around.findIndex((one) => one.prompt === view.prompt && one.seed === view.seed && one.right === view.right);
    if (around.length < 2) return;
    const { prompt, seed, left, right } = around[(Math.max(at, 0) + by + around.length) % around.length];
    view = { ...view, prompt, seed, right };
    change({ left: left ?? partnerOf(right) });
  };
  const open = (what, others, from) => {
    made ??= make();
    opener = from;
    around = others;
    view = { mode: "side", ...what };
    view = { left: partnerOf(view.right), ...view };
    made.stage.reset();
    draw();
  };

  // A view that an address asks for; what it says may be anything.
  const asked = () => {
    try {
      const { prompt, seed, left, right, mode } = JSON.parse(choices.get("view") || "null") ?? {};
      if (typeof prompt !== "string" || !Number.isInteger(seed)) return null;
      const known = [left, right].every((id) => gallery.at(id, prompt, seed)) && MODES.some(([name]) => name === mode);
      return known ? { prompt, seed, left, right, mode } : null;
    } catch {
      return null;
    }
  };
  const follow = () => {
    const wanted = asked();
    if (!wanted) return made?.dialog.open ? made.dialog.close() : undefined;
    if (made?.dialog.open && JSON.stringify(view) === choices.get("view")) return undefined;
    return open(wanted, around, opener);
  };
  const pictures = parts.get("pictures");
  parts.set("pictures", (element) => {
    pictures(element);
    choices.watch(["view"], follow);
    follow();
  });
  return open;

  // Shows one picture, then the other, once a second; it never starts by itself.
  function blinker(stage) {
    let timer = null;
    let side = "right";
    const button = h("button", { type: "button", onclick: () => (timer ? stop() : start()) }, "Start blinking");
    const swap = h("button", { type: "button", onclick: () => flip() }, "Show the other");
    const seen = h("output", {});
    const element = h("div", { class: "blink" }, button, swap, seen);
    const flip = () => {
      side = side === "right" ? "left" : "right";
      stage.only(side);
      if (!timer) seen.textContent = `${side} picture`;
    };
    const start = () => {
      timer = setInterval(flip, HALF_BLINK_MS);
      button.textContent = "Stop blinking";
      seen.textContent = "";
    };
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Start blinking";
      seen.textContent = `${side} picture`;
    };
    const show = (here) => {
      element.hidden = !here;
      if (!here) stop();
      if (here) stage.only(side);
    };
    return { element, show, stop };
  }
})();
