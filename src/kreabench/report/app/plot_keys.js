// Points of a plot reached by keyboard: arrow keys go from one to the next, Enter opens, Escape leaves.

const { pressed, leave } = (() => {
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
  return { pressed, leave };
})();
