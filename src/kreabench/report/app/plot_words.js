// What plots share: an estimate in words, axes that differ, what is not drawn, and the way to a setting's pictures.

const {
  amountIn,
  valueAndEnds,
  describeValue,
  differingAxes,
  axisNamed,
  axisTitle,
  setAsideNote,
  nameAndReference,
  scaledEstimate,
  ringAround,
  openSetting,
} = (() => {
  // A unit of several words stands in the head of its column alone.
  const amountIn = (quantity, value) =>
    quantity.unit.includes(" ") ? significant(value / quantity.scale) : amount(quantity, value);
  // An estimate as [value with its unit, interval or null].
  const valueAndEnds = (quantity, { value, low, high }) => {
    const scaled = (end) => (end === null ? null : end / quantity.scale);
    const [text, ends] = estimate({ value: scaled(value), low: scaled(low), high: scaled(high) });
    if (ends === null) return [amountIn(quantity, value), null];
    const unit = quantity.unit.includes(" ") ? "" : unitOf(quantity);
    return [`${quantity.unit === "$" ? "$" : ""}${text}${unit}`, ends];
  };
  const describeValue = (quantity, value) => {
    if (!value) return "—";
    const [text, ends] = valueAndEnds(quantity, value);
    const said = ends === null ? text : `${text} (${ends})`;
    return value.remark ? `${said}; ${value.remark}` : said;
  };
  const differingAxes = report.axes.filter((axis) => axis.values.length > 1);
  const axisNamed = (name) => report.axes.find((axis) => axis.name === name);
  const ARROWS = { lower: "↓ better", higher: "↑ better", neither: "neither side is better" };
  const axisTitle = ({ label, unit, brand, better }) =>
    `${plotText(unit ? `${label} (${unit})` : label)}<br>${plotText(brand ? `${brand}, ` : "")}${ARROWS[better]}`;
  const setAsideNote = (what, reasons) => {
    if (!reasons.length) return "";
    const counts = new Map();
    for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    const list = [...counts].map(([reason, count]) => `${reason} (${count})`).join("; ");
    return `${what}: ${reasons.length} of ${shown().length} settings; ${list}.`;
  };
  const nameAndReference = (setting) => setting.label + (setting.reference === setting.id ? " (reference)" : "");
  const scaledEstimate = (quantity, { value, low, high }) =>
    [value, low, high].map((end) => (end === null ? null : end / quantity.scale));
  const ringAround = (name, points) => ({
    name,
    points: points.map(({ x, y }) => ({ x, y })),
    mode: "markers",
    series: "ink",
    hoverinfo: "skip",
    marker: { symbol: "circle-open", size: 19, line: { width: 2 } },
  });
  const openSetting = (id) => {
    choices.set({ open: id });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    document.getElementById("pictures")?.scrollIntoView({ behavior: calm ? "auto" : "smooth" });
  };
  return {
    amountIn,
    valueAndEnds,
    describeValue,
    differingAxes,
    axisNamed,
    axisTitle,
    setAsideNote,
    nameAndReference,
    scaledEstimate,
    ringAround,
    openSetting,
  };
})();
