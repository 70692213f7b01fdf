// Places on the page: links to them keep what the reader chose, and the list of contents says where the reader is.

const goTo = (id) => {
  const target = id ? document.getElementById(id) : null;
  if (!target) return;
  for (let up = target.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
  target.scrollIntoView();
  if (!target.hasAttribute("tabindex")) target.tabIndex = -1;
  target.focus({ preventScroll: true });
};

const followPlaces = () => {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const id = link.getAttribute("href").slice(1);
    choices.set({ at: id === "top" ? "" : id });
    goTo(id);
  });
  choices.watch(["at"], () => goTo(choices.get("at")));
  goTo(choices.get("at"));
};

// The list of contents is faded where it goes on, and is scrolled to where the reader is.
const followContents = (list) => {
  const cut = () => list.classList.toggle("cut", list.scrollLeft + list.clientWidth < list.scrollWidth - 1);
  list.addEventListener("scroll", cut, { passive: true });
  new ResizeObserver(cut).observe(list);
  return (link) => {
    if (!link) return;
    const [from, to] = [link.offsetLeft - list.offsetLeft, link.offsetLeft - list.offsetLeft + link.offsetWidth];
    const [least, most] = [to + 28 - list.clientWidth, from - 28];
    list.scrollLeft = Math.max(Math.min(list.scrollLeft, most), least);
  };
};

const markPlace = () => {
  const reach = followContents(document.querySelector(".contents"));
  const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.getAttribute("href").slice(1), a]));
  const seen = new Set();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target.id);
      const first = [...links.keys()].find((id) => seen.has(id));
      reach(links.get(first) ?? links.values().next().value);
      for (const [id, link] of links) {
        if (id === first) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "-80px 0px -60% 0px" },
  );
  for (const id of links.keys()) {
    const section = document.getElementById(id);
    if (section) observer.observe(section);
  }
};
