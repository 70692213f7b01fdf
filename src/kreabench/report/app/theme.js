// Light, dark, or as the system has it. early.js applies what is remembered; `themechange` tells who draws in colours.

parts.set("theme", (element) => {
  const themes = [
    ["", "◐", "as the system"],
    ["light", "☀", "light"],
    ["dark", "☾", "dark"],
  ];
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const current = () => Math.max(0, themes.findIndex(([name]) => name === (root.dataset.theme ?? "")));
  const tell = () => document.dispatchEvent(new CustomEvent("themechange"));
  const say = () => {
    const [, sign, words] = themes[current()];
    button.replaceChildren(h("span", { "aria-hidden": "true" }, sign), h("span", { class: "hidden" }, `Theme: ${words}`));
    button.title = `Theme: ${words}`;
  };
  const turn = () => {
    const [name] = themes[(current() + 1) % themes.length];
    if (name) root.dataset.theme = name;
    else delete root.dataset.theme;
    try {
      localStorage.setItem("kreabench-theme", name);
    } catch {
      // It holds until the page is closed.
    }
    say();
    tell();
  };
  const button = h("button", { type: "button", class: "tool", onclick: turn });
  say();
  element.append(button);
  system.addEventListener("change", tell);
});
