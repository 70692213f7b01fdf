// Pairs of pictures in which a setting lost most against its reference.

function worstLosses() {
  const FEW = 8;
  const title = h("h3", { id: newId("worst") }, "Worst losses first");
  const names = [...new Set(report.worst.map((one) => one.quantity))].filter((name) => quantities.has(name));
  if (!names.length) {
    const directed = report.quantities.some((one) => one.kind !== "cost" && one.better !== "neither");
    const why = !directed
      ? "No metric with a better side was scored."
      : report.settings.some((one) => one.reference && one.reference !== one.id)
        ? "No picture scored worse than its reference's picture of the same prompt and seed."
        : "No setting has another one as its reference.";
    return [title, h("p", { class: "empty" }, why)];
  }
  choices.initial("wq", names[0]);
  const controls = h("div", { class: "picture-controls" }, select("Score", "wq", names.map((name) => [name, quantityText(quantities.get(name))])));
  const note = h("p", { class: "caption" });
  const more = h("button", { type: "button", onclick: () => choices.set({ wn: "all" }) });
  const list = h("ol", { class: "worst", "aria-labelledby": title.id });

  const lossText = (quantity, loss) => {
    if (quantity.kind === "fidelity") {
      const value = quantity.better === "higher" ? -loss : loss;
      return `${gallery.amountOf(quantity, value)} to its reference`;
    }
    return `${gallery.amountOf(quantity, loss)} ${quantity.better === "lower" ? "higher" : "lower"}`;
  };
  const thumbnail = (picture) =>
    gallery.isShown(picture) ? gallery.image(picture.thumbnail, gallery.altOf(picture), picture, 112) : gallery.noPicture(picture);
  const entry = (one, quantity, around) => {
    const { setting, prompt, seed } = one;
    const pictures = [gallery.reference(setting), setting].map((id) => gallery.at(id, prompt, seed));
    const text = h(
      "span",
      { class: "worst-text" },
      h("strong", {}, lossText(quantity, one.loss)),
      h("span", {}, bdi(gallery.nameOf(setting))),
      h("span", {}, bdi(`${gallery.shortText(prompt, 60)}, seed ${seed}`)),
    );
    const images = h("span", { class: "pair" }, pictures.map(thumbnail));
    if (!pictures.some(Boolean)) return h("li", {}, h("div", { class: "worst-entry" }, images, text));
    const open = () => openViewer({ prompt, seed, left: gallery.reference(setting), right: setting, mode: "slider" }, around, button);
    const button = h("button", { type: "button", class: "worst-entry", onclick: open }, images, text);
    return h("li", {}, button);
  };
  const draw = () => {
    const quantity = quantities.get(choices.get("wq", names));
    const kept = new Set(shown().map((one) => one.id));
    const all = report.worst.filter((one) => one.quantity === quantity.name);
    const these = all.filter((one) => kept.has(one.setting));
    const around = these
      .filter((one) => gallery.at(one.setting, one.prompt, one.seed))
      .map(({ setting, prompt, seed }) => ({ left: gallery.reference(setting), right: setting, prompt, seed }));
    const first = choices.get("wn") === "all" ? these : these.slice(0, FEW);
    list.replaceChildren(...first.map((one) => entry(one, quantity, around)));
    more.textContent = `Show all ${these.length}`;
    more.hidden = first.length === these.length;
    const worse = quantity.better === "lower" ? "the higher the worse" : "the lower the worse";
    note.textContent = [
      quantity.kind === "fidelity"
        ? `The ${these.length} pictures that are farthest from their reference by ${quantity.label}; ${worse}.`
        : `The ${these.length} pictures that lose most against their reference's by ${quantity.label}. The left one is the reference.`,
      these.length < all.length ? `${all.length - these.length} are hidden by a filter.` : "",
      quantity.brand ? `† ${quantity.brand}.` : "",
    ].filter(Boolean).join(" ");
  };
  draw();
  choices.watch(["wq", "wn", "shown"], draw);
  return [title, controls, note, list, h("div", { class: "picture-controls" }, more)];
}
