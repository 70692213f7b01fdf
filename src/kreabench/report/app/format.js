// Numbers as the tables of the page show them, see format.py: three significant digits, thousands set off, no exponent.

// Decimal digits of |value|, rounded as Python does: by its exact value, and a tie to the even digit.
const rounded = (value, places) => {
  const size = Math.abs(value);
  if (size >= 1e21) return `${BigInt(size)}${places ? `.${"0".repeat(places)}` : ""}`;
  const text = size.toFixed(places);
  const exact = size.toFixed(Math.min(places + 60, 100));
  const rest = places ? exact.slice(exact.indexOf(".") + 1 + places) : exact.slice(exact.indexOf(".") + 1);
  if (!/^50*$/.test(rest)) return text;
  const cut = exact.slice(0, exact.length - rest.length).replace(/\.$/, "");
  return Number(cut.at(-1)) % 2 ? text : cut;
};
const decimals = (value, digits = 3) => {
  if (value === 0 || !Number.isFinite(value)) return 0;
  let exponent = Math.floor(Math.log10(Math.abs(value)));
  const places = Math.min(Math.max(digits - 1 - exponent, 0), 100);
  if (Number(Math.abs(value).toFixed(places)) >= 10 ** (exponent + 1)) exponent += 1;
  return Math.min(Math.max(digits - 1 - exponent, 0), 12);
};
const fixed = (value, places) => {
  if (!Number.isFinite(value)) return "—";
  const [whole, part] = rounded(value, places).split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
  return value < 0 && /[1-9]/.test(text) ? `-${text}` : text;
};
const significant = (value, digits = 3) => fixed(value, decimals(value, digits));
const usd = (value) => {
  const text = value === 0 || Math.abs(value) >= 1 ? fixed(value, 2) : significant(value);
  return `$${text}`;
};

// A value and its interval in as many decimals, as text; the interval is null where there is none.
const estimate = ({ value, low = null, high = null }, digits = 3) => {
  const none = low === null || high === null;
  const [from, to] = none ? [value, value] : [low, high];
  const largest = Math.max(Math.abs(value), Math.abs(from), Math.abs(to));
  let places = decimals(Math.abs(value) >= largest / 100 ? value : largest, digits);
  if (to > from) places = Math.min(Math.max(places, decimals(to - from, 1)), places + 2);
  return [fixed(value, places), none ? null : `${fixed(from, places)} – ${fixed(to, places)}`];
};

const unitOf = (quantity) => (quantity.unit && quantity.unit !== "$" ? ` ${quantity.unit}` : "");
const amount = (quantity, value) =>
  quantity.unit === "$" ? usd(value / quantity.scale) : `${significant(value / quantity.scale)}${unitOf(quantity)}`;
const axisText = (axis, value) => {
  if (value === null) return "—";
  if (axis.name !== "run") return String(value);
  const run = report.runs.find((one) => one.id === value);
  return run ? `${value.toUpperCase()}: ${run.name}` : String(value);
};
const quantityText = (quantity) =>
  quantity.label + (quantity.unit ? ` (${quantity.unit})` : "") + (quantity.brand ? `, ${quantity.brand}` : "");
