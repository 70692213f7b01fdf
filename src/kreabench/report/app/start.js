// Draws every part of the page, then goes where the address points.

for (const element of document.querySelectorAll("[data-part]")) {
  drawIn(element, () => parts.get(element.dataset.part)?.(element));
}
for (const table of document.querySelectorAll("table[data-table]")) {
  drawIn(table.closest("section"), () => followTable(table));
}
drawIn(null, markPlace);
drawIn(null, followPlaces);
document.documentElement.dataset.ready = "yes";
