// The page of a blind vote. It knows two pictures by ids that say nothing; all else stays on the server.
"use strict";

const at = (id) => document.getElementById(id);
const choices = [...document.querySelectorAll("[data-choice]")];
const keys = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", ArrowUp: "both_bad" };
const words = { left: "left", right: "right", tie: "as good", both_bad: "both bad" };
const storage = "kreabench-vote";
const SMALL_PX = 80; // A picture with no longer side is enlarged with its pixels as squares; as in a report.

let state = null;
let since = 0; // when both pictures came into sight; 0 while they are not
let busy = false;
const loaded = new Map(); // id of a picture → its element

const complain = (text) => {
  at("alert").textContent = text;
  at("alert").hidden = !text;
};

const post = async (path, body) => {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw Object.assign(new Error(await answer.text()), { status: answer.status });
  return answer.json();
};

const load = (id, side) => {
  if (!loaded.has(id)) {
    const image = new Image();
    image.alt = `${side} picture`;
    image.src = `picture/${id}`;
    image.addEventListener("click", () => zoom(!zoomed()));
    image.addEventListener("load", () => {
      image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) <= SMALL_PX);
    });
    loaded.set(id, image);
  }
  return loaded.get(id);
};

const ready = () => since > 0 && !busy;
const refresh = () => {
  for (const button of choices) button.disabled = !ready();
  at("skip").disabled = busy || !state?.pair;
  at("undo").disabled = busy || !state?.undo;
};

const show = async (next, said = "") => {
  const again = state?.pair && next.pair && state.pair.id === next.pair.id;
  state = next;
  sessionStorage.setItem(storage, state.session);
  at("start").hidden = true;
  at("progress").hidden = at("tools").hidden = false;
  at("bar").max = Math.max(state.of, 1);
  at("bar").value = state.done;
  at("count").textContent = `${state.done} of ${state.of}`;
  at("pair").hidden = !state.pair;
  at("end").hidden = Boolean(state.pair);
  at("skip").hidden = at("zoom").hidden = !state.pair;
  if (!state.pair) {
    since = 0;
    at("end-text").textContent = state.done
      ? "Thank you: that was the last pair. Your votes are saved; you may close this page."
      : "There is no pair left that you have not seen.";
    at("status").textContent = `${said} No pair is left.`;
    refresh();
    return;
  }
  if (!again) await present(said);
  refresh();
};

const present = async (said) => {
  const { pair, next } = state;
  since = 0;
  refresh();
  at("prompt").textContent = pair.prompt;
  at("look-for").textContent = pair.look_for;
  at("look").hidden = !pair.look_for;
  const images = [load(pair.left, "Left"), load(pair.right, "Right")];
  at("left").replaceChildren(images[0]);
  at("right").replaceChildren(images[1]);
  const wanted = [pair.left, pair.right, next?.left, next?.right];
  for (const id of loaded.keys()) if (!wanted.includes(id)) loaded.delete(id);
  try {
    await Promise.all(images.map((image) => image.decode()));
  } catch {
    complain("A picture could not be loaded. Skip this pair, or reload the page.");
    return;
  }
  if (state.pair?.id !== pair.id) return;
  centre();
  since = performance.now();
  at("status").textContent = `${said} Pair ${state.done + 1} of ${state.of}.`;
  if (next) {
    load(next.left, "Left");
    load(next.right, "Right");
  }
};

// One request at a time; what is asked meanwhile is not asked.
const act = async (path, body, said) => {
  if (busy) return;
  busy = true;
  refresh();
  try {
    const answer = await post(path, body);
    complain("");
    busy = false;
    await show(answer, said);
  } catch (error) {
    busy = false;
    if (error.status === 404) {
      sessionStorage.removeItem(storage);
      begin();
    } else if (error.status === 409) {
      act("state", { session: state.session }, "");
    } else {
      complain(error.status ? error.message : "The vote does not answer. Is it still running? Nothing was lost.");
    }
  }
  refresh();
};

const vote = (choice) => {
  if (!ready()) return;
  const seconds = (performance.now() - since) / 1000;
  act("vote", { session: state.session, pair: state.pair.id, choice, seconds }, `Voted ${words[choice]}.`);
};
const undo = () => state?.undo && act("undo", { session: state.session, pair: state.undo }, "Taken back.");
const skip = () => state?.pair && act("skip", { session: state.session, pair: state.pair.id }, "Skipped.");

const zoomed = () => at("pair").classList.contains("zoomed");
const centre = () => {
  for (const frame of [at("left"), at("right")]) {
    frame.scrollTo((frame.scrollWidth - frame.clientWidth) / 2, (frame.scrollHeight - frame.clientHeight) / 2);
  }
};
const zoom = (on) => {
  at("pair").classList.toggle("zoomed", on);
  at("zoom").setAttribute("aria-pressed", String(on));
  for (const side of ["left", "right"]) {
    if (on) at(side).setAttribute("tabindex", "0");
    else at(side).removeAttribute("tabindex");
  }
  centre();
};
// Where each frame was moved to because the other one was: its own scroll event says so later, and moves nothing.
const followed = { left: null, right: null };
for (const [side, other] of [["left", "right"], ["right", "left"]]) {
  at(side).addEventListener("scroll", () => {
    const { scrollLeft, scrollTop } = at(side);
    const [x, y] = followed[side] ?? [NaN, NaN];
    if (Math.abs(x - scrollLeft) + Math.abs(y - scrollTop) <= 1) return;
    followed[side] = null;
    at(other).scrollTo(scrollLeft, scrollTop);
    followed[other] = [at(other).scrollLeft, at(other).scrollTop];
  });
}

document.addEventListener("keydown", (event) => {
  const writes = event.target instanceof Element && event.target.closest("input, [tabindex='0']");
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || writes) return;
  if (event.key in keys && state?.pair) {
    event.preventDefault();
    vote(keys[event.key]);
  } else if (event.key === "Backspace" && state?.undo) {
    event.preventDefault();
    undo();
  } else if (event.key === "Escape" && zoomed()) {
    zoom(false);
  }
});
for (const button of choices) button.addEventListener("click", () => vote(button.dataset.choice));
at("undo").addEventListener("click", undo);
at("skip").addEventListener("click", skip);
at("zoom").addEventListener("click", () => zoom(!zoomed()));
at("start").addEventListener("submit", (event) => {
  event.preventDefault();
  act("start", { voter: at("voter").value }, "").then(() => at("title").focus());
});

const begin = () => {
  const session = sessionStorage.getItem(storage);
  if (session) act("state", { session }, "");
  else if (document.body.dataset.ask === "no") act("start", { voter: "" }, "");
  else {
    for (const id of ["pair", "end", "tools", "progress"]) at(id).hidden = true;
    at("start").hidden = false;
    at("voter").focus();
  }
};
begin();
