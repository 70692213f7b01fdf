// Axes that a plot does not spread out are held at one value each: the chosen one, at first that of the reference; where
// a filter leaves nothing of it, the first value that is left.

const holding = (prefix, axes, { all = false } = {}) => {
  const choiceOf = (axis) => `${prefix}.${axis.name}`;
  const textsOf = (axis) => axis.values.map((value) => JSON.stringify(value));
  const reference = report.settings.find((one) => one.reference === one.id) ?? report.settings[0];
  const controls = new Map(axes.map((axis) => {
    const own = reference.axes[axis.name];
    choices.initial(choiceOf(axis), JSON.stringify(axis.values.includes(own) ? own : axis.values[0]));
    const options = axis.values.map((value) => [JSON.stringify(value), axisText(axis, value)]);
    const control = select(`${axis.label}, held at`, choiceOf(axis), [...(all ? [["", "all"]] : []), ...options]);
    return [axis.name, control];
  }));
  const valueOf = (axis, settings) => {
    const value = JSON.parse(choices.get(choiceOf(axis), textsOf(axis)));
    const left = new Set(settings.map((one) => one.axes[axis.name]));
    return left.has(value) ? value : (axis.values.find((one) => left.has(one)) ?? value);
  };
  // Values of `held` by name, without those of which all are kept; controls of other axes are hidden.
  const values = (settings, held = axes) => {
    const found = {};
    for (const axis of axes) {
      const control = controls.get(axis.name);
      control.hidden = !held.includes(axis);
      if (control.hidden || (all && choices.get(choiceOf(axis), ["", ...textsOf(axis)]) === "")) continue;
      found[axis.name] = valueOf(axis, settings);
      control.querySelector("select").value = JSON.stringify(found[axis.name]);
    }
    return found;
  };
  return { controls: [...controls.values()], names: axes.map(choiceOf), values };
};

// `target mini_local, size 256×256`.
const heldWords = (held) =>
  Object.entries(held).map(([name, value]) => {
    const axis = axisNamed(name);
    return `${axis.label.toLowerCase()} ${axisText(axis, value)}`;
  }).join(", ");
