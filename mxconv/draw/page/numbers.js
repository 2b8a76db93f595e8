// How numbers are written: as mxconv.draw's figures write them, to the last digit.

const MINUS = "−";

// An integer in full, any other number with three significant digits, or two where there is little
// room.
function formatNumber(value, digits = 3) {
  return asciiNumber(value, digits).replaceAll("-", MINUS);
}

// The number as a factor or a summand: in brackets if it is negative.
function formatFactor(value) {
  const text = formatNumber(value);
  return text.startsWith(MINUS) ? "(" + text + ")" : text;
}

// The number in full, as Number reads it: -0 too, which String writes as 0.
function exactText(value) {
  return Object.is(value, -0) ? "-0" : String(value);
}

// Whether formatNumber shows the value to within a millionth of it.
function isShownExactly(value) {
  const shown = Number(asciiNumber(value).replace("inf", "Infinity").replace("nan", "NaN"));
  const most = Math.max(Math.abs(shown), Math.abs(value));
  return Object.is(shown + 0, value + 0)  // as infinities are, and NaN
    || most < Infinity && Math.abs(shown - value) <= 1e-6 * most;
}

function asciiNumber(value, digits = 3) {
  if (Number.isNaN(value)) return "nan";
  if (value < 0) return "-" + asciiNumber(-value, digits);
  if (value === Infinity) return "inf";
  if (Number.isInteger(value) && value < 1e6) return String(value);
  if (value >= 10 ** digits && value < 1e6) {
    return String(Number(rounded(value, String(Math.floor(value)).length - 1)));
  }
  const text = rounded(value, digits - 1), [significand, power] = text.split("e").map(Number);
  return power >= -4 && power < digits ? String(Number(text)) : significand + "e" + power;
}

// As value.toExponential(decimals) for a positive value, but with halves to even, as in Python.
function rounded(value, decimals) {
  const text = value.toExponential(decimals), exact = value.toExponential(60);
  const [kept, rest] = [exact.slice(0, 2 + decimals), exact.slice(2 + decimals)];
  const isTie = /^50*e/.test(rest);  // which toExponential rounds up
  return isTie && Number(kept.slice(-1)) % 2 === 0 ? kept + rest.slice(rest.indexOf("e")) : text;
}
