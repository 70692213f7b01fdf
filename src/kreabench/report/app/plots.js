// plotly.js as this page uses it: one look, resized with the page, points reached by keyboard, white on paper.

const plot = (() => {
  const PAPER_WIDTH = 700;
  let onPaper = false;
  const all = new Set();

  // The content-security policy admits no picture by blob:, which is what plotly's own button would use.
  const download = async (box, name) => {
    const picture = new Image();
    picture.src = await Plotly.toImage(box, { format: "svg" });
    await picture.decode();
    const canvas = h("canvas", { width: picture.width * 2, height: picture.height * 2 });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    h("a", { href: canvas.toDataURL("image/png"), download: `${name}.png` }).click();
  };
  const configOf = (state) => ({
    displaylogo: false,
    typesetMath: false,
    doubleClick: "reset",
    modeBarButtons: [
      [
        { name: "png", title: "Download as PNG", icon: Plotly.Icons.camera, click: (box) => download(box, state.name) },
        { name: "reset", title: "Reset the zoom", icon: Plotly.Icons.home, click: () => render(state, true) },
      ],
    ],
  });

  const render = (state, zoomedOut = false) => {
    const theme = onPaper ? PAPER : screenTheme();
    const width = onPaper ? PAPER_WIDTH : Math.max(Math.round(state.element.clientWidth), 240);
    const layout = typeof state.layout === "function" ? state.layout(width) : state.layout;
    const { below = 22 * Math.ceil(state.traces.length / 2), ...rest } = layout;
    const height = (layout.height ?? 420) + (width < NARROW ? below : 0);
    if (zoomedOut) state.zoom += 1;
    const whole = { uirevision: `${rest.uirevision ?? ""}/${state.zoom}` };
    state.width = width;
    state.box.style.minHeight = `${height}px`;
    const drawn = { ...layoutOf(rest, theme, width, height), ...whole };
    Plotly.react(state.box, tracesFor(state.traces, theme), drawn, state.config);
    state.ring.hidden = true;
    state.at = -1;
  };

  // It takes half a second to compile, so it is text until the first plot; the policy admits it by its hash.
  const start = () => {
    const text = document.getElementById("plotly");
    if (text.type) text.replaceWith(h("script", { id: text.id }, text.textContent));
  };

  const states = new WeakMap();
  const made = (element, label) => {
    start();
    const box = h("div", { class: "plot-box" });
    const ring = h("div", { class: "plot-ring", hidden: true });
    const live = h("p", { class: "plot-said", role: "status" });
    const stage = h("div", { class: "plot-stage", tabindex: "0", role: "application" }, box, ring);
    const state = {
      element,
      box,
      ring,
      live,
      stage,
      at: -1,
      zoom: 0,
      traces: [],
      name: label.toLowerCase().replace(/\W+/g, "-"),
    };
    state.config = configOf(state);
    element.classList.add("plot");
    element.append(stage, live);
    stage.addEventListener("keydown", (event) => pressed(state, event));
    stage.addEventListener("blur", () => leave(state));
    new ResizeObserver(() => {
      if (state.drawn && !onPaper && Math.abs(element.clientWidth - state.width) > 1) render(state);
    }).observe(element);
    states.set(element, state);
    all.add(state);
    return state;
  };
  // Draws into `element`, again and again. `describe` is said of the whole, `select` is called with the id of a point.
  // `layout` may be a function of the width in pixels.
  const plot = (element, traces, layout, { label, describe = "", select = null }) => {
    const state = states.get(element) ?? made(element, label);
    Object.assign(state, { traces, layout, select });
    const keys = "Arrow keys go from point to point.";
    state.stage.setAttribute("aria-label", [`Chart: ${label}.`, describe, keys].filter(Boolean).join(" "));
    render(state);
    if (!state.drawn) {
      state.drawn = true;
      state.box.on(
        "plotly_click",
        ({ points }) => points[0]?.customdata && state.select?.(String(points[0].customdata)),
      );
      state.box.on("plotly_relayout", () => leave(state));
    }
  };

  const redraw = () => {
    forgetTheme();
    for (const state of all) if (state.drawn) render(state);
  };
  const paper = (yes) => {
    if (onPaper === yes) return;
    onPaper = yes;
    redraw();
  };
  document.addEventListener("themechange", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  matchMedia("print").addEventListener("change", ({ matches }) => paper(matches));
  return plot;
})();
