// What the viewer says of the two pictures below them.

function viewerFacts(view, pictures) {
  const [left, right] = pictures;
  const file = (picture) => (picture.view || picture.thumbnail).split("/").at(-1);
  const facts = (picture) => {
    if (!gallery.isShown(picture)) return "no picture";
    return `${picture.width} × ${picture.height} px, ${file(picture)}`;
  };
  const cell = (text) => h("td", { class: "number" }, text);
  const line = (quantity) => {
    const [a, b] = pictures.map((picture) => picture?.scores[quantity.name]);
    const text = (value) => (value === undefined ? "—" : gallery.amountOf(quantity, value));
    const both = a !== undefined && b !== undefined;
    const sign = b > a ? "+" : b < a ? "−" : "";
    const difference = both ? sign + amount(gallery.bare(quantity), Math.abs(b - a)) : "—";
    return h("tr", {}, h("th", { scope: "row" }, quantity.label, gallery.bare(quantity) === quantity ? null : h("small", {}, quantity.unit)), cell(text(a)), cell(text(b)), cell(difference), h("td", {}, betterSide(quantity, a, b)));
  };
  const betterSide = (quantity, a, b) => {
    if (a === undefined || b === undefined) return "one side has no score";
    if (a === b) return "equal";
    if (quantity.better === "neither") return "neither is better";
    return (quantity.better === "higher") === b > a ? "right is better" : "left is better";
  };
  const lines = gallery.metrics.filter((quantity) => pictures.some((picture) => quantity.name in (picture?.scores ?? {}))).map(line);
  const heads = ["Score", "Left", "Right", "Right − left", "Better"].map((text, place) =>
    h("th", { scope: "col", class: place > 0 && place < 4 ? "number" : null }, text),
  );
  const caption = newId("scores");
  const table = h(
    "div",
    { class: "scroll", role: "region", tabindex: "0", "aria-labelledby": caption },
    h("table", {}, h("caption", { class: "hidden", id: caption }, "Scores of both pictures"), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, lines)),
  );
  const item = (name, ...said) => h("div", {}, h("dt", {}, name), h("dd", {}, ...said));
  return [
    h(
      "dl",
      {},
      item("Prompt", gallery.promptText(view.prompt), gallery.inputOf(view.prompt)),
      item("Left", bdi(`${gallery.nameOf(view.left)}: ${facts(left)}`)),
      item("Right", bdi(`${gallery.nameOf(view.right)}: ${facts(right)}`)),
    ),
    lines.length ? table : h("p", { class: "empty" }, "Neither picture has a score."),
  ];
}

// What must be known to read the two pictures.
function viewerNotes(pictures, mode) {
  const shownOnes = pictures.filter(gallery.isShown);
  const notes = [];
  const [a, b] = shownOnes;
  if (b && (a.width !== b.width || a.height !== b.height)) {
    notes.push(`The pictures differ in size, ${a.width} × ${a.height} and ${b.width} × ${b.height}: both are fitted into one box.`);
  }
  // Files that were made smaller have their longest side in their name.
  const sides = shownOnes.map((picture) => [Number(/-(\d+)\.jpg$/.exec(picture.view || picture.thumbnail)?.[1] ?? Infinity), Math.max(picture.width, picture.height), picture]);
  const small = sides.filter(([px, whole]) => px < whole).sort((one, other) => one[0] - other[0])[0];
  if (small) {
    const [px, whole, picture] = small;
    const inside = Object.hasOwn(held, picture.view || picture.thumbnail);
    notes.push(
      inside
        ? `Only a small version is in this page, ${px} of ${whole} pixels on the longest side; write the report with --images link for larger ones.`
        : `Shown at ${px} of ${whole} pixels on the longest side; the run has the whole picture.`,
    );
  }
  if (mode === "difference") {
    const stored = shownOnes.some((picture) => /-\d+\.jpg$/.test(picture.view || picture.thumbnail));
    notes.push("Black is equal; colours are what the pictures differ by, amplified." + (stored ? " Faint blocks and edges may come from JPEG, in which this report keeps them." : ""));
  }
  if (mode === "slider") notes.push("Left of the line is the left picture, right of it the right one.");
  return notes;
}
