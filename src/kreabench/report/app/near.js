// What is drawn only once it comes near to what is seen, or is opened; a print has all of it.

const { whenNear, twin } = (() => {
  const waiting = new Set();

  // One part a frame, those in view first: a page with many settings stays at hand while it is drawn anew.
  const queue = new Map();
  const distance = (element) => {
    const { top, bottom } = element.getBoundingClientRect();
    return Math.max(top - innerHeight, -bottom, 0);
  };
  const next = () => {
    const [nearest] = [...queue.keys()].sort((one, two) => distance(one) - distance(two));
    const run = queue.get(nearest);
    queue.delete(nearest);
    if (queue.size) requestAnimationFrame(next);
    run();
  };
  const enqueue = (element, run) => {
    if (!queue.size) requestAnimationFrame(next);
    queue.set(element, run);
  };

  // Calls `draw` when `element` comes near to what is seen, and again when one of `names` changes.
  const whenNear = (element, names, draw) => {
    let near = false;
    let stale = true;
    const run = () => {
      if (!stale) return;
      stale = false;
      drawIn(element, draw);
    };
    const wanted = () => near && stale && enqueue(element, run);
    waiting.add(run);
    choices.watch(names, () => {
      stale = true;
      wanted();
    });
    const seen = (entries) => {
      near = entries.at(-1).isIntersecting;
      wanted();
    };
    new IntersectionObserver(seen, { rootMargin: "300px" }).observe(element);
  };

  // The numbers of a plot as a table, for those who do not see it. Filled when it is opened or printed.
  const twin = (element) => {
    const body = h("div", { class: "twin-body" });
    const holder = h("details", { class: "twin" }, h("summary", {}, "Numbers of this plot"), body);
    let now = null;
    const fill = () => {
      if (!now) return;
      const { caption, heads, rows } = now;
      now = null;
      const cells = (row) => row.map((text, at) => (at ? h("td", {}, bdi(text)) : h("th", { scope: "row" }, bdi(text))));
      const table = h(
        "table",
        {},
        h("caption", {}, caption),
        h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, bdi(head))))),
        h("tbody", {}, rows.map((row) => h("tr", {}, cells(row)))),
      );
      body.replaceChildren(h(
        "div",
        { class: "scroll tall", role: "region", tabindex: "0", "aria-label": caption },
        table,
      ));
    };
    holder.addEventListener("toggle", () => holder.open && fill());
    waiting.add(fill);
    element.append(holder);
    return (caption, heads, rows) => {
      now = { caption, heads, rows };
      if (holder.open) fill();
    };
  };

  const drawAll = () => {
    for (const run of waiting) run();
  };
  addEventListener("beforeprint", drawAll);
  matchMedia("print").addEventListener("change", ({ matches }) => matches && drawAll());
  return { whenNear, twin };
})();
