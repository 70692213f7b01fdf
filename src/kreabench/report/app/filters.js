// Which settings are shown: a list of values for each axis that differs, and words in their labels.

const filterAxes = () => report.axes.filter((axis) => axis.values.length > 1);

const resetFilters = () => {
  const empty = report.axes.map((axis) => [`f.${axis.name}`, ""]);
  choices.set(Object.fromEntries([...empty, [FIND, ""]]));
};

// What is filtered, in words: `acceleration none, high; steps 4`.
const filterWords = () => {
  const said = [];
  for (const axis of filterAxes()) {
    const kept = filterOf(axis);
    if (!kept) continue;
    const values = axis.values.filter((value) => kept.has(value)).map((value) => axisText(axis, value));
    said.push(`${axis.label.toLowerCase()} ${values.join(", ") || "none of all"}`);
  }
  const words = choices.get(FIND).trim();
  if (words) said.push(`labels with “${words.slice(0, 80)}”`);
  return said;
};

const axisFilter = (axis) => {
  const counts = new Map(axis.values.map((value) => [value, 0]));
  for (const one of report.settings) counts.set(one.axes[axis.name], (counts.get(one.axes[axis.name]) ?? 0) + 1);
  const keep = (values) => {
    const all = values.length === axis.values.length;
    const text = all ? "" : values.map((value) => JSON.stringify(value)).join(",") || NOTHING;
    choices.set({ [`f.${axis.name}`]: text });
  };
  const boxes = axis.values.map((value) => {
    const box = h("input", { type: "checkbox", onchange: () => keep(axis.values.filter((_, at) => boxes[at].checked)) });
    return box;
  });
  const rows = axis.values.map((value, at) =>
    h(
      "div",
      { class: "filter-row" },
      h("label", {}, boxes[at], bdi(axisText(axis, value)), h("small", {}, `${counts.get(value)}`)),
      h(
        "button",
        { type: "button", class: "only", "aria-label": `Only ${axisText(axis, value)}`, onclick: () => keep([value]) },
        "only",
      ),
    ),
  );
  const follow = () => {
    const kept = filterOf(axis);
    axis.values.forEach((value, at) => (boxes[at].checked = !kept || kept.has(value)));
  };
  follow();
  choices.watch([`f.${axis.name}`], follow);
  const whole = (words, values) =>
    h("button", { type: "button", "aria-label": `${axis.label}: ${words}`, onclick: () => keep(values) }, words);
  return h(
    "fieldset",
    {},
    h("legend", {}, axis.label, axis.unit ? ` (${axis.unit})` : ""),
    h("div", { class: "whole" }, whole("all", axis.values), whole("none", [])),
    h("div", { class: "filter-rows" }, rows),
  );
};

const searchBox = () => {
  const id = newId("find");
  const box = h("input", { id, type: "search", autocomplete: "off", spellcheck: "false" });
  box.addEventListener("input", () => choices.set({ [FIND]: box.value }));
  const follow = () => {
    if (box.value !== choices.get(FIND)) box.value = choices.get(FIND);
  };
  follow();
  choices.watch([FIND], follow);
  return h("div", { class: "find" }, h("label", { for: id }, "Words in the setting’s name"), box);
};

parts.set("filters", (element) => {
  const reset = () => h("button", { type: "button", class: "button", onclick: resetFilters }, "Reset filters");
  const badge = h("span", { class: "badge" });
  const count = h("p", { class: "count", role: "status" });
  const words = h("p", { class: "filter-words" });
  const inside = h("div", { class: "filter-panel" }, words, searchBox(), filterAxes().map(axisFilter), reset());
  const panel = h("details", { class: "filter" }, h("summary", { class: "tool" }, "Filter", badge), inside);
  const empty = h("p", { class: "notice warning nothing" }, h("span", {}, "No setting passes the filters. "), reset());
  const close = () => {
    panel.open = false;
    panel.querySelector("summary").focus();
  };
  panel.addEventListener("keydown", (event) => event.key === "Escape" && panel.open && close());
  document.addEventListener("click", (event) => {
    if (panel.open && event.target.isConnected && !panel.contains(event.target)) panel.open = false;
  });
  const printed = h("p", { class: "printed" });
  document.querySelector("main").prepend(printed);
  const follow = () => {
    const said = filterWords();
    const number = shown().length;
    const total = `${fixed(number, 0)} of ${fixed(report.settings.length, 0)} settings`;
    badge.textContent = said.length ? `${said.length}` : "";
    badge.hidden = !said.length;
    count.textContent = total;
    count.classList.toggle("hidden", !said.length);
    words.textContent = said.length ? `${total}: ${said.join("; ")}.` : `All ${fixed(number, 0)} settings are shown.`;
    printed.textContent = said.length ? `Filtered to ${said.join("; ")}: ${total} are shown.` : "";
    empty.hidden = number > 0;
  };
  element.append(count, panel, empty);
  follow();
  choices.watch(["shown"], follow);
});
