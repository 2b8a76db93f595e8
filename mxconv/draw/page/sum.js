// The sum below the arrays: of the selected output, or the products that an element is in.

const dock = document.getElementById("sum"), live = document.getElementById("live");
const MOST_LISTED = 48;  // products of an element of X or K

const positionOfOutput = () => state.row * convolution.outWidth + state.column;

// Whether a step, of a sum up to its plane and tap, has added up input channel j.
const isAdded = (j, plane, tap) => plane === null || j < plane || (j === plane && tap === null);
const equalsFor = values => values.every(isShownExactly) ? " = " : " ≈ ";

// The selected output: a line for each input channel, and what their sums add up to.
function writeSum(o, position, plane, tap) {
  dock.replaceChildren();
  const {kernels, padded} = convolution, window = convolution.windows[position];
  const value = convolution.output[o][position];
  const sums = convolution.parts[o].map(part => part[position]);
  const total = make("p", dock, {class: "total"});
  make("b", total, {}, placeInOutput(o, position));
  if (sums.length > 1) {
    total.append(equalsFor(sums));
    sums.forEach((sum, j) => {
      if (j) total.append(" + ");
      const known = isAdded(j, plane, tap), channel = `channel ${convolution.inputOf(o, j)}`;
      const button = make("button", total, {type: "button", class: "channel", "data-plane": j,
        "aria-label": `${channel}: ${known ? formatNumber(sum) : "add it"}`},
      known ? formatFactor(sum) : "…");
      button.classList.toggle("now", j === plane);
    });
  }
  total.append(equalsFor([...sums, value]));
  make("b", total, {}, plane === null ? formatNumber(value) : "…");
  const lines = make("div", dock, {class: "lines"});
  kernels[o].forEach((kernel, j) => {
    const i = convolution.inputOf(o, j), here = j === plane;
    const factors = kernel.map((k, n) => [padded[i][window[n]], k]);
    const line = make("p", lines, {class: "line" + (here ? " now" : "")});
    make("span", line, {class: "name"}, `X[${i}] ∗ ${kernelName(o, j)}: `);
    factors.forEach((pair, n) => {
      if (n) line.append(" + ");
      make(here && tap === n ? "mark" : "span", line, {class: "product"},
        pair.map(formatFactor).join("×"));
    });
    if (here && tap !== null) {
      const sum = factors.slice(0, tap + 1).reduce((so, [x, k]) => so + x * k, 0);
      make("b", line, {}, `  (so far ${formatNumber(sum)})`);
    } else {
      line.append(equalsFor([...factors.flat(), sums[j]]));
      make("b", line, {}, isAdded(j, plane, tap) ? formatNumber(sums[j]) : "…");
    }
  });
  letScroll();
  const now = lines.querySelector("mark") || lines.querySelector(".now");
  if (now) lines.scrollTop = now.offsetTop - Math.max(0, lines.clientHeight - now.offsetHeight) / 2;
}

// Lines that don't all fit can have the focus, to be scrolled with the keyboard. At least two stay
// in sight.
function letScroll() {
  const lines = dock.querySelector(".lines");
  lines.style.minHeight = `min(2.75rem, ${lines.scrollHeight}px)`;
  const scrolls = lines.scrollHeight > lines.clientHeight;
  for (const [name, value] of [["tabindex", 0], ["role", "group"], ["aria-label", "Products"]]) {
    if (scrolls) lines.setAttribute(name, value);
    else lines.removeAttribute(name);
  }
}

// In words, for who doesn't see it.
function speak(o, position, plane, tap) {
  const {parts, kernels, padded} = convolution;
  if (plane === NONE) {
    say(`${placeInOutput(o, position)} is hidden`);
  } else if (plane === null) {
    const sums = parts[o].map((part, j) =>
      `channel ${convolution.inputOf(o, j)}: ${formatNumber(part[position])}`);
    say(`${placeInOutput(o, position)} is ${formatNumber(convolution.output[o][position])}`
      + (sums.length > 1 ? `, the sum of ${sums.join(", ")}` : ""));
  } else if (tap === null) {
    say(`Channel ${convolution.inputOf(o, plane)} adds ${formatNumber(parts[o][plane][position])}`);
  } else {
    const x = padded[convolution.inputOf(o, plane)][convolution.windows[position][tap]];
    say(`${formatNumber(x)} times ${formatNumber(kernels[o][plane][tap])}`);
  }
}

function say(text) {
  live.textContent = text;
}

// An element of X or K: its value, which can be changed, and the products it is in.
function writeUses({kind, i, o, j}, position) {
  dock.replaceChildren();
  const ofInput = kind === "X", channel = ofInput ? i : convolution.inputOf(o, j);
  const place = ofInput ? placeInInput(i, position) : placeInKernel(o, j, position);
  const value = ofInput ? convolution.padded[i][position] : convolution.kernels[o][j][position];
  const head = make("p", dock, {class: "total"});
  const editable = !isImage() && !(ofInput && convolution.border.includes(position));
  if (editable && pinned) {
    const label = make("label", head);
    make("b", label, {}, place);
    label.append(" = ");
    // It can't hold NaN and infinity.
    make("input", label, {id: "value", type: "number", step: "any",
      value: Number.isFinite(value) ? exactText(value) : "", placeholder: formatNumber(value)});
  } else {
    make("b", head, {}, place);
    head.append(` ${isShownExactly(value) ? "=" : "≈"} ${formatNumber(value)}`);
  }
  const uses = ofInput ? usesOfInput(i, position) : usesOfKernel(o, j, position);
  const words = ofInput
    ? `is in ${plural(uses.length, "product")}: ${usesInWords(uses)}`
    : `goes from input channel ${channel}${colorOf(channel)} to output channel ${o}. It is used once for every `
      + `output of Y[${o}]: ${plural(uses.length, "product")}`;
  head.append(` ${words}.`);
  if (editable && !pinned) head.append(" Click it to change it.");
  const lines = make("div", dock, {class: "lines"});
  const list = make("p", lines, {class: "line"});
  uses.slice(0, MOST_LISTED).forEach((use, n) => {
    if (n) list.append(" · ");
    make("span", list, {class: "product"}, `${placeInOutput(use.o, use.output)}: `
      + `${formatFactor(use.x)}×${formatFactor(use.k)}`);
  });
  if (uses.length > MOST_LISTED) list.append(` and ${uses.length - MOST_LISTED} more`);
  letScroll();
  say(`${place} is ${formatNumber(value)}; it ${words}`);
}

function usesOfInput(i, position) {
  const uses = convolution.usesOf(position), x = convolution.padded[i][position];
  return range(convolution.outChannels).flatMap(o => {
    const j = convolution.planeFor(o, i);
    return j === null ? [] : uses.map(({output, tap}) =>
      ({o, j, output, tap, x, k: convolution.kernels[o][j][tap]}));
  });
}

function usesInWords(uses) {
  const channels = new Set(uses.map(use => use.o)).size;
  if (!channels) return "no window covers it";
  const each = uses.length / channels;
  return `${plural(each, "output")}${channels > 1 ? ` in each of ${channels} output channels` : ""}`;
}

function usesOfKernel(o, j, tap) {
  const plane = convolution.padded[convolution.inputOf(o, j)], k = convolution.kernels[o][j][tap];
  return convolution.windows.map((window, output) =>
    ({o, j, output, tap, position: window[tap], x: plane[window[tap]], k}));
}
