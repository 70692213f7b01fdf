// How plots look: one theme on the screen and one on paper, traces and layout as plotly.js wants them.
//
// A trace has `points` in place of plotly's arrays: { x, y, xLow, xHigh, yLow, yHigh, id, lines, chance }; a point that
// is null breaks the line. `lines` are its texts, `id` is what Enter and a click open. `series` is its place among the
// colours, `mark` among the symbols and dashes: nothing is told apart by colour alone. `faint` is of its whiskers.

const { NARROW, PAPER, plotText, screenTheme, forgetTheme, tracesFor, layoutOf } = (() => {
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
  const forgetTheme = () => {
    screen = null;
  };

  const colourOf = (series, theme) =>
    series === "ink" ? theme.ink : series === "muted" ? theme.muted : theme.colours[series % LIGHT.length];
  // All whiskers of a trace as one line with gaps: plotly's own error bars are an element each, and slow to draw anew.
  const whiskersOf = ({ points, series = 0, faint = false }, theme) => {
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
      opacity: faint ? 0.2 : 0.6,
      hoverinfo: "skip",
      showlegend: false,
    }] : [];
  };
  const traceOf = ({ points, series = 0, mark = 0, faint: _, ...rest }, theme) => {
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
      ...(bar ? { textposition: "none" } : {}),
      ...rest,
      ...(rest.fill && rest.fill !== "none" ? { fillcolor: `${colour}33` } : {}),
      name: plotText(rest.name ?? "", 48),
      marker: { ...marker, ...rest.marker },
      ...(bar ? {} : { line: { color: colour, width: 1.5, dash: DASHES[mark % DASHES.length], ...rest.line } }),
    };
  };
  const tracesFor = (traces, theme) => traces.flatMap((one) => [...whiskersOf(one, theme), traceOf(one, theme)]);
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

  return { NARROW, PAPER, plotText, screenTheme, forgetTheme, tracesFor, layoutOf };
})();
