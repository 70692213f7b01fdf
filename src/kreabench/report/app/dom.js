// Elements. Text is always text: nothing of the report is ever parsed as HTML. An attribute that is false is left out:
// one that has to say so (`aria-pressed`, `draggable`) is given as the text "false".

const h = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
};

let ids = 0;
const newId = (stem) => `${stem}-${++ids}`;

// A labelled list of choices. `options` are [value, text]; `choice` is its name among the reader's choices.
const select = (label, choice, options) => {
  const id = newId("choice");
  const element = h(
    "select",
    { id, onchange: () => choices.set({ [choice]: element.value }) },
    options.map(([value, text]) => h("option", { value }, text)),
  );
  const follow = () => {
    element.value = choices.get(choice, options.map(([value]) => value));
  };
  follow();
  choices.watch([choice], follow);
  return h("label", { class: "choice", for: id }, h("span", {}, label), element);
};

const bdi = (text, attributes = {}) => h("bdi", { dir: "auto", ...attributes }, text);
