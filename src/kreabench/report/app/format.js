// Numbers as the tables of the page show them: three significant digits, thousands set off, no exponent.

const decimals = (value, digits = 3) => {
  if (value === 0 || !Number.isFinite(value)) return 0;
  let exponent = Math.floor(Math.log10(Math.abs(value)));
  if (Math.abs(value).toFixed(Math.min(Math.max(digits - 1 - exponent, 0), 20)) >= 10 ** (exponent + 1)) exponent += 1;
  return Math.min(Math.max(digits - 1 - exponent, 0), 12);
};
const fixed = (value, places) =>
  value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
const significant = (value, digits = 3) => fixed(value, decimals(value, digits));

const unitOf = (quantity) => (quantity.unit && quantity.unit !== "$" ? ` ${quantity.unit}` : "");
const amount = (quantity, value) => `${quantity.unit === "$" ? "$" : ""}${significant(value / quantity.scale)}${unitOf(quantity)}`;
const axisText = (axis, value) => {
  if (value === null) return "—";
  if (axis.name !== "run") return String(value);
  const run = report.runs.find((one) => one.id === value);
  return `${value.toUpperCase()}: ${run.name}`;
};
const quantityText = (quantity) =>
  quantity.label + (quantity.unit ? ` (${quantity.unit})` : "") + (quantity.brand ? `, ${quantity.brand}` : "");
