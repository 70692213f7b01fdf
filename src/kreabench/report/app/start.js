// Draws every part of the page; one that breaks says so in its place and leaves the others alone.

for (const element of document.querySelectorAll("[data-part]")) {
  try {
    parts.get(element.dataset.part)?.(element);
  } catch (error) {
    console.error(error);
    element.append(h("p", { class: "notice warning" }, `This part could not be drawn: ${error.message}`));
  }
}
document.documentElement.dataset.ready = "yes";
