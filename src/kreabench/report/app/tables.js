// Tables of the page: sorted by a click on a head, and without the rows of settings that are filtered out.

// The number or text that a cell is sorted by; null for what is absent.
const sortKey = (cell, numeric) => {
  if (!cell || cell.querySelector(".absent")) return null;
  if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
  const text = (cell.querySelector("bdi") ?? cell).textContent.trim();
  if (!numeric) return text;
  const power = text.match(/× 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)/)?.[1] ?? "";
  const exponent = [...power].map((sign) => (sign === "⁻" ? "-" : "⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(sign))).join("");
  const number = Number.parseFloat(text.replace(/[,$+]/g, "").replace("−", "-"));
  return Number.isNaN(number) ? text : number * 10 ** Number(exponent || 0);
};

// Numbers before words, what is absent last whichever way, equal ones in the order of the report.
const compareKeys = (one, other, sign) => {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
  if (typeof one === "number") return sign * (one - other);
  return sign * one.localeCompare(other, "en", { numeric: true });
};

const sortable = (table, id) => {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const choice = `s.${id}`;
  const allowed = ["", ...heads.flatMap((_, at) => [`${at + 1}`, `-${at + 1}`])];
  const next = (at) => ({ [`${at}`]: `-${at}`, [`-${at}`]: "" })[choices.get(choice, allowed)] ?? `${at}`;
  heads.forEach((head, at) => {
    const turn = () => choices.set({ [choice]: next(at + 1) });
    const button = h("button", { type: "button", class: "sort", onclick: turn }, [...head.childNodes]);
    head.append(button);
  });
  const sort = () => {
    const said = Number(choices.get(choice, allowed));
    const at = Math.abs(said) - 1;
    heads.forEach((head, number) => {
      if (number === at) head.setAttribute("aria-sort", said > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    if (!said) return body.append(...rows);
    const numeric = heads[at].classList.contains("number");
    const keyed = rows.map((row) => [sortKey(row.cells[at], numeric), row]);
    keyed.sort(([one], [other]) => compareKeys(one, other, Math.sign(said)));
    body.append(...keyed.map(([, row]) => row));
  };
  if (choices.get(choice, allowed)) sort();
  choices.watch([choice], sort);
};

const filtered = (table) => {
  const rows = [...table.tBodies[0].rows].filter((row) => row.dataset.setting);
  if (!rows.length) return;
  const known = new Map(report.settings.map((one) => [one.id, one.id]));
  if (report.runs.length === 1) for (const id of settings.keys()) known.set(id.slice(id.indexOf("/") + 1), id);
  const note = h("p", { class: "caption filtered", hidden: true });
  table.closest(".scroll").before(note);
  const follow = () => {
    const ids = new Set(shown().map((one) => one.id));
    let left = 0;
    for (const row of rows) {
      const id = known.get(row.dataset.setting);
      row.hidden = id !== undefined && !ids.has(id);
      left += !row.hidden;
    }
    note.hidden = left === rows.length;
    note.textContent = `${fixed(left, 0)} of ${fixed(rows.length, 0)} rows pass the filters.`;
  };
  follow();
  choices.watch(["shown"], follow);
};

const followTable = (table) => {
  filtered(table);
  if (table.tBodies[0].rows.length > 1) sortable(table, table.dataset.table);
};
