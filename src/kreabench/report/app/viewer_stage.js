// Where the viewer shows two pictures: side by side or one over the other, zoomed and moved together.

function viewerStage({ onStep, onSplit }) {
  const MOST = 16;
  const FACTOR = 1.4;
  const pane = (side) => h("div", { class: `pane ${side}` });
  const left = pane("left");
  const right = pane("right");
  const line = h("div", { class: "divider", "aria-hidden": "true" });
  const stage = h("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "The two pictures" }, left, right, line);
  let zoom = { scale: 1, x: 0, y: 0 };

  // x and y are the place of the upper left corner, in sides of a pane: from 1 - scale to 0.
  const show = () => {
    const within = (value) => Math.min(0, Math.max(1 - zoom.scale, value));
    zoom = { scale: zoom.scale, x: within(zoom.x), y: within(zoom.y) };
    const moved = `translate(${zoom.x * 100}%, ${zoom.y * 100}%) scale(${zoom.scale})`;
    for (const image of stage.querySelectorAll("img")) image.style.transform = moved;
    stage.classList.toggle("zoomed", zoom.scale > 1);
    stage.dataset.zoom = zoom.scale.toFixed(2);
    stage.dispatchEvent(new CustomEvent("zoomed", { detail: zoom.scale }));
  };
  // The point (px, py) of a pane stays where it is.
  const scaleTo = (scale, px = 0.5, py = 0.5) => {
    const next = Math.min(MOST, Math.max(1, scale));
    const ratio = next / zoom.scale;
    zoom = { scale: next, x: px - (px - zoom.x) * ratio, y: py - (py - zoom.y) * ratio };
    show();
  };
  const zoomBy = (steps) => scaleTo(zoom.scale * FACTOR ** steps);
  const reset = () => {
    zoom = { scale: 1, x: 0, y: 0 };
    show();
  };
  const move = (x, y) => {
    zoom = { ...zoom, x: zoom.x + x, y: zoom.y + y };
    show();
  };

  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const box = (event.target.closest(".pane") ?? right).getBoundingClientRect();
      const steps = -Math.sign(event.deltaY);
      scaleTo(zoom.scale * FACTOR ** steps, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    },
    { passive: false },
  );
  // Fingers and the pressed mouse, by their id. One moves what is zoomed, or the line of the slider; two zoom.
  const pressed = new Map();
  const between = ([one, other]) => ({
    x: (one.x + other.x) / 2,
    y: (one.y + other.y) / 2,
    apart: Math.max(1, Math.hypot(one.x - other.x, one.y - other.y)),
  });
  const pull = (before, after, box) => {
    if (zoom.scale > 1) move((after.x - before.x) / box.width, (after.y - before.y) / box.height);
    else if (stage.dataset.mode === "slider") splitAt(Math.min(1, Math.max(0, (after.x - box.left) / box.width)));
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed.set(event.pointerId, { x: event.clientX, y: event.clientY });
    stage.setPointerCapture(event.pointerId);
  });
  const boxAt = (x) => {
    const box = right.getBoundingClientRect();
    return stage.dataset.mode === "side" && x < box.left ? left.getBoundingClientRect() : box;
  };
  stage.addEventListener("pointermove", (event) => {
    const before = pressed.get(event.pointerId);
    if (!before || pressed.size > 2) return;
    const after = { x: event.clientX, y: event.clientY };
    const box = boxAt(after.x);
    const was = pressed.size === 2 ? between([...pressed.values()]) : null;
    pressed.set(event.pointerId, after);
    if (!was) return void pull(before, after, box);
    const now = between([...pressed.values()]);
    scaleTo((zoom.scale * now.apart) / was.apart, (now.x - box.left) / box.width, (now.y - box.top) / box.height);
    move((now.x - was.x) / box.width, (now.y - was.y) / box.height);
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => pressed.delete(event.pointerId));
  const split = (share) => {
    right.style.clipPath = `inset(0 0 0 ${share * 100}%)`;
    line.style.left = `${share * 100}%`;
  };
  const splitAt = (share) => {
    split(share);
    onSplit(share);
  };

  const STEPS = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
  // Returns whether the key was one of ours.
  const key = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return false;
    const inField = event.target.closest("input, select");
    if (event.key === "+" || event.key === "=") zoomBy(1);
    else if (event.key === "-") zoomBy(-1);
    else if (event.key === "0") reset();
    else if (event.key in STEPS && !inField && zoom.scale > 1) move(...STEPS[event.key]);
    else if (event.key === "ArrowLeft" && !inField) onStep(-1);
    else if (event.key === "ArrowRight" && !inField) onStep(1);
    else return false;
    event.preventDefault();
    return true;
  };

  // `contents` are the elements of both sides, `ratio` is width by height of the box.
  const put = (contents, ratio) => {
    left.replaceChildren(...contents[0]);
    right.replaceChildren(...contents[1]);
    stage.style.setProperty("--ratio", String(ratio));
    show();
  };
  const setMode = (mode) => {
    stage.dataset.mode = mode;
    stage.style.filter = "";
    right.style.clipPath = "";
    right.style.visibility = "";
  };
  return {
    element: stage,
    put,
    setMode,
    zoomBy,
    reset,
    key,
    // Share of the width at which the right picture begins.
    split,
    amplify(times) {
      stage.style.filter = `brightness(${times})`;
    },
    only(side) {
      right.style.visibility = side === "right" ? "" : "hidden";
    },
  };
}
