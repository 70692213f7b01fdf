// Which part of an axis a plot shows: intervals much longer than the points lie apart would press these flat.

const { whiskerChoice, withWhiskers, pointRange, BEYOND } = (() => {
  const WAYS = [
    ["", "near the points"],
    ["full", "in full"],
    ["no", "hidden"],
  ];
  // Times the span of the points that all intervals may take; the span itself is at least a share of the largest value.
  const MOST_SPANS = 4;
  const LEAST_SHARE = 0.02;
  // Spans to either side of the middle: 0.6 of one beyond the outermost points.
  const SHOWN_SPANS = 1.1;

  const whiskers = () => choices.get("bars", WAYS.map(([name]) => name));
  const whiskerChoice = () => select("95 % intervals", "bars", WAYS);
  const withWhiskers = (point) => (whiskers() === "no" ? { ...point, xLow: null, yLow: null } : point);

  const known = (end) => end !== null && end !== undefined;
  const spanOf = (least, most, logarithmic) =>
    Math.max(most - least, LEAST_SHARE * (logarithmic ? 1 : Math.max(Math.abs(least), Math.abs(most))));
  // Ends of the axis `name` ("x" or "y"), exponents where it is logarithmic; null: plotly shows all.
  const pointRange = (points, name, logarithmic = false) => {
    if (whiskers() !== "" || points.length < 2) return null;
    const place = (value) => (!logarithmic ? value : value > 0 ? Math.log10(value) : -Infinity);
    const at = points.map((one) => place(one[name]));
    const ends = points.flatMap((one) => [one[`${name}Low`], one[`${name}High`]]).filter(known).map(place);
    const [least, most] = [Math.min(...at), Math.max(...at)];
    const span = spanOf(least, most, logarithmic);
    const [from, to] = [Math.min(least, ...ends), Math.max(most, ...ends)];
    if (most === least || to - from <= MOST_SPANS * span) return null;
    const middle = (least + most) / 2;
    return [Math.max(middle - SHOWN_SPANS * span, from), Math.min(middle + SHOWN_SPANS * span, to)];
  };
  const BEYOND = " Intervals reach beyond the plot; “in full” shows the whole of them.";
  return { whiskerChoice, withWhiskers, pointRange, BEYOND };
})();
