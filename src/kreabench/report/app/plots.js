// plotly.js as this page uses it: one look, resized with the page, points reached by keyboard.
//
// A trace has `points` in place of plotly's arrays: { x, y, xLow, xHigh, yLow, yHigh, id, lines, chance }; a point that
// is null breaks the line. `lines` are its texts, `id` is what Enter and a click open. `series` is its place among the
// colours, `mark` among the symbols and dashes: nothing is told apart by colour alone.

const { plot, plotText } = (() => {
  // Paul Tol's bright scheme; yellow, cyan and grey are darker on white, all are lighter on a dark ground (3:1).
  const LIGHT = ["#4477aa", "#ee6677", "#228833", "#998a1f", "#2a9bc2", "#aa3377", "#777777"];
  const DARK = ["#77aadd", "#ee8899", "#44aa66", "#ccbb44", "#66ccee", "#cc77aa", "#bbbbbb"];
  const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "star", "x", "triangle-down"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const PATTERNS = ["", "/", "x", "\\", "-", "+", ".", "|"];
  const PAPER = {
    ground: "#ffffff",
    ink: "#1c2127",
    muted: "#535c66",
    line: "#dde2e7",
    panel: "#f5f7f9",
    colours: LIGHT,
  };
  const PAPER_WIDTH = 700;
  const NARROW = 560;

  // plotly reads a few tags, entities and TeX in labels: text is given so that it is shown as it is.
  const plotText = (text, most = 80) => {
    const line = String(text).replace(/[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]+/gu, " ").trim();
    const letters = [...line];
    const cut = letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : line;
    return cut.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  };

  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16) / 255);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let screen = null;
  const screenTheme = () => {
    if (screen) return screen;
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    screen = {
      ground: read("ground"),
      ink: read("ink"),
      muted: read("muted"),
      line: read("line"),
      panel: read("panel"),
    };
    screen.colours = luminance(screen.ground) > 0.5 ? LIGHT : DARK;
    return screen;
  };
  let onPaper = false;
  const all = new Set();

  const colourOf = (series, theme) =>
    series === "ink" ? theme.ink : series === "muted" ? theme.muted : theme.colours[series % LIGHT.length];
  // All whiskers of a trace as one line with gaps: plotly's own error bars are an element each, and slow to draw anew.
  const whiskersOf = ({ points, series = 0 }, theme) => {
    const x = [];
    const y = [];
    const known = (end) => end !== null && end !== undefined;
    for (const one of points) {
      if (known(one?.xLow) && known(one.xHigh)) {
        x.push(one.xLow, one.xHigh, null);
        y.push(one.y, one.y, null);
      }
      if (known(one?.yLow) && known(one.yHigh)) {
        x.push(one.x, one.x, null);
        y.push(one.yLow, one.yHigh, null);
      }
    }
    const line = { color: colourOf(series, theme), width: 1.2, simplify: false };
    return x.length ? [{
      type: "scatter",
      mode: "lines",
      x,
      y,
      line,
      opacity: 0.6,
      hoverinfo: "skip",
      showlegend: false,
    }] : [];
  };
  const traceOf = ({ points, series = 0, mark = 0, ...rest }, theme) => {
    const colour = colourOf(series, theme);
    const bar = rest.type === "bar";
    const marker = bar
      ? {
        color: colour,
        line: { color: theme.ground, width: 1 },
        pattern: { shape: PATTERNS[mark % PATTERNS.length], fillmode: "overlay" },
      }
      : { color: colour, size: 10, symbol: SYMBOLS[mark % SYMBOLS.length], line: { color: theme.ink, width: 1 } };
    if (points.some((one) => one?.chance !== undefined)) {
      marker.opacity = points.map((one) => (one ? 0.25 + 0.75 * (one.chance ?? 1) : 1));
    }
    return {
      type: "scatter",
      x: points.map((one) => one?.x ?? null),
      y: points.map((one) => one?.y ?? null),
      customdata: points.map((one) => one?.id ?? ""),
      hovertext: points.map((one) => one?.lines?.map((line) => plotText(line, 90)).join("<br>") ?? ""),
      hoverinfo: points.some((one) => one?.lines) ? "text" : "skip",
      ...rest,
      ...(rest.fill && rest.fill !== "none" ? { fillcolor: `${colour}33` } : {}),
      name: plotText(rest.name ?? "", 48),
      marker: { ...marker, ...rest.marker },
      ...(bar ? {} : { line: { color: colour, width: 1.5, dash: DASHES[mark % DASHES.length], ...rest.line } }),
    };
  };
  const axisOf = (axis, theme, narrow) => ({
    gridcolor: theme.line,
    linecolor: theme.muted,
    zerolinecolor: theme.line,
    tickcolor: theme.muted,
    automargin: true,
    nticks: narrow ? 5 : 9,
    ...axis,
    title: { text: axis?.title ?? "", standoff: 8, font: { size: narrow ? 12 : 13 } },
  });
  const layoutOf = ({ xaxis, yaxis, annotations = [], ...rest }, theme, width, height) => {
    const narrow = width < NARROW;
    const legend = {
      orientation: "h",
      x: 0,
      itemclick: false,
      itemdoubleclick: false,
      font: { size: 12 },
      traceorder: "normal",
    };
    const { fontFamily: family } = getComputedStyle(document.body);
    return {
      ...rest,
      width,
      height,
      paper_bgcolor: theme.ground,
      plot_bgcolor: theme.ground,
      font: { family, size: 12, color: theme.ink },
      margin: { l: 56, r: 16, t: 34, b: 48, ...rest.margin },
      hoverlabel: {
        bgcolor: theme.panel,
        bordercolor: theme.muted,
        align: "left",
        font: { family, color: theme.ink, size: 12.5 },
      },
      hovermode: "closest",
      dragmode: "zoom",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: theme.muted, activecolor: theme.ink, orientation: "h" },
      legend: narrow
        ? { ...legend, yref: "container", y: 0, yanchor: "bottom" }
        : { ...legend, y: 1.02, yanchor: "bottom" },
      xaxis: axisOf(xaxis, theme, narrow),
      yaxis: axisOf(yaxis, theme, narrow),
      annotations: annotations.map((one) => ({
        font: { color: theme.ink, size: 11.5 },
        arrowcolor: theme.muted,
        ...one,
      })),
    };
  };

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
    const traces = state.traces.flatMap((one) => [...whiskersOf(one, theme), traceOf(one, theme)]);
    Plotly.react(state.box, traces, { ...layoutOf(rest, theme, width, height), ...whole }, state.config);
    state.ring.hidden = true;
    state.at = -1;
  };

  // Points in the order in which the arrow keys go: from left to right, then from below.
  const stops = (state) => {
    const found = [];
    state.traces.forEach((trace, curve) => {
      if (trace.hoverinfo === "skip") return;
      trace.points.forEach((point, at) => point?.lines && found.push({
        point,
        curve,
        at,
        ...pixel(state, point, trace),
      }));
    });
    const inside = found.filter((one) => Number.isFinite(one.left) && Number.isFinite(one.top));
    return inside.sort((one, two) => one.left - two.left || two.top - one.top);
  };
  const pixel = (state, point, trace) => {
    const { xaxis, yaxis } = state.box._fullLayout;
    const { x, y } = trace.type === "bar" ? { x: point.endX ?? point.x, y: point.endY ?? point.y } : point;
    return { left: xaxis._offset + xaxis.d2p(x), top: yaxis._offset + yaxis.d2p(y) };
  };
  const visit = (state, move) => {
    const order = stops(state);
    if (!order.length) return;
    const from = state.at < 0 ? (move > 0 ? -1 : order.length) : state.at;
    state.at = Math.min(
      Math.max(Number.isFinite(move) ? from + move : move < 0 ? 0 : order.length - 1, 0),
      order.length - 1,
    );
    const { point, left, top } = order[state.at];
    state.id = point.id;
    state.ring.hidden = false;
    state.ring.style.left = `${left}px`;
    state.ring.style.top = `${top}px`;
    const opens = state.select && point.id ? " Enter opens its pictures." : "";
    state.live.textContent = `${point.lines.join(", ")}. ${state.at + 1} of ${order.length}.${opens}`;
  };
  const MOVES = {
    ArrowRight: 1,
    ArrowUp: 1,
    ArrowLeft: -1,
    ArrowDown: -1,
    PageDown: 10,
    PageUp: -10,
    Home: -Infinity,
    End: Infinity,
  };
  const leave = (state) => {
    state.ring.hidden = true;
    state.live.textContent = "";
    state.at = -1;
  };
  const pressed = (state, event) => {
    if (event.target !== state.stage || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in MOVES) visit(state, MOVES[event.key]);
    else if (event.key === "Enter" && state.at >= 0 && state.id) state.select?.(state.id);
    else if (event.key === "Escape") leave(state);
    else return;
    event.preventDefault();
  };

  const states = new WeakMap();
  const made = (element, label) => {
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
    screen = null;
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
  return { plot, plotText };
})();
