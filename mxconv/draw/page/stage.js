// The arrays on the screen: X, the kernels of K in a row for each output channel, and Y.

const MOST_CELLS = 700;  // of X, of K or of Y; if there are more, pictures show them
const [stage, note, dockBox] = ["stage", "note", "dock"].map(id => document.getElementById(id));
const planes = {X: [], K: [], part: [], Y: []};  // K: a list for each output channel
let totals = [];  // beside each plane of K: what it adds to the selected output
let scales = {};  // of the colors
let partsOf = null;  // the output channel whose parts are shown
const PRECISIONS = [3, 2];  // significant digits of the numbers: two where there is little room
let precision = 3;
const widths = {};  // how many characters the numbers of each array have, by their precision
let convolution = null;

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const kernelName = (o, j) => `K[${o}, ${j}]`;
// Behind the name of a photograph's input channel: its color.
const colorOf = i => i in scene().colors ? ` (${scene().colors[i]})` : "";

// Compute everything anew, and lay it out.
function build() {
  convolution = new Convolution(state.X, state.K, state.settings);
  for (const id of ["X", "K", "Y"]) document.querySelector(`#${id} .planes`).replaceChildren();
  const box = id => document.querySelector(`#${id} .planes`);
  const {inChannels, outChannels} = convolution;
  const {paddedHeight, paddedWidth, outHeight, outWidth, kernelHeight, kernelWidth} = convolution;
  const many = inChannels * paddedHeight * paddedWidth > MOST_CELLS
    || outChannels * outHeight * outWidth > MOST_CELLS;
  const manyKernels = state.K.data.length > MOST_CELLS;
  stage.style.setProperty("--place", "auto");
  stage.style.setProperty("--inputs", inChannels);
  stage.style.setProperty("--outputs", outChannels);
  planes.X = range(inChannels).map(i =>
    new Plane(box("X"), {kind: "X", i}, paddedHeight, paddedWidth, many));
  planes.Y = range(outChannels).map(o =>
    new Plane(box("Y"), {kind: "Y", o}, outHeight, outWidth, many));
  [planes.K, totals] = [[], []];
  for (const o of range(outChannels)) {
    const places = range(inChannels).map(i => {
      const place = make("div", box("K"), {class: "place"});
      if (convolution.planeFor(o, i) === null) {
        make("span", place, {class: "none", title: "no kernel: the channels are in different groups"}, "·");
      }
      return place;
    });
    const used = places.filter((_, i) => convolution.planeFor(o, i) !== null);
    used[used.length - 1].classList.add("last");
    planes.K.push(used.map((place, j) =>
      new Plane(place, {kind: "K", o, j}, kernelHeight, kernelWidth, manyKernels)));
    totals.push(used.map(place => make("output", place, {class: "total"})));
  }
  planes.part = range(convolution.groupChannels).map(j =>
    new Plane(null, {kind: "part", j}, outHeight, outWidth, many));
  planes.part.forEach(part => part.figure.classList.add("part"));
  fillIn();
}

// Write the numbers into the planes.
function fillIn() {
  const border = convolution.border;
  partsOf = null;
  scales = {X: scaleOf(convolution.padded), K: scaleOf(convolution.kernels.flat())};
  // One for the parts and what they add up to, so that the colors can be compared.
  scales.Y = scaleOf([...convolution.parts.flat(), ...convolution.output], scales.X);
  planes.X.forEach((plane, i) => plane.show(`X[${i}]${colorOf(i)}`, convolution.padded[i], scales.X,
    border, n => n === null
      ? `Input channel ${i}, X[${i}]${colorOf(i)}` : placeInInput(i, n) + ": "));
  planes.Y.forEach((plane, o) => plane.show(`Y[${o}]`, convolution.output[o], scales.Y, [],
    n => n === null ? `Output channel ${o}, Y[${o}]` : placeInOutput(o, n) + ": ",
    n => isHidden(o, ...convolution.outputIndex(n))));
  planes.K.forEach((row, o) => row.forEach((plane, j) => {
    const i = convolution.inputOf(o, j), values = convolution.kernels[o][j];
    plane.show(kernelName(o, j), values, scales.K, [], n => n === null
      ? `Kernel ${kernelName(o, j)}: output channel ${o}, input channel ${i}${colorOf(i)}`
      : placeInKernel(o, j, n) + ": ");
  }));
  // Columns are as wide in all planes of an array, and stay so whichever output is selected. Where
  // there is little room, only columns with longer numbers, such as −0.0012, are wider.
  for (const digits of PRECISIONS) {
    const most = digits < 3 ? 5 : Infinity;
    const widest = kind => Math.min(most,
      Math.max(...planes[kind].flat().map(plane => plane.widthOf(digits))));
    widths[digits] = {X: widest("X"), K: widest("K"), Y: widest("Y"),
      part: planes.part[0].isPicture ? 7 : widthOf(convolution.parts.flat(2), digits)};
  }
  stage.style.setProperty("--part-digits", widths[3].part);
  writeNumbers(3);
  document.querySelectorAll("[data-shape]").forEach(node => {
    const [shape, axes] = SHAPES[node.dataset.shape](convolution);
    node.textContent = `(${shape.join(", ")})`;
    make("span", node, {class: "axes"}, " " + axes);
  });
}

// Write the numbers with so many digits, or all of them if they are whole.
function writeNumbers(digits) {
  precision = digits;
  for (const kind of ["X", "K", "Y"]) {
    planes[kind].flat().forEach(plane => plane.write(digits, widths[digits][kind]));
  }
  if (planes.part[0].values) planes.part.forEach(part => part.write(digits, widths[digits].part));
}

// Put the parts of output channel o, the sums over each input channel, beside its kernels.
function showParts(o) {
  if (o === partsOf) return;
  partsOf = o;
  planes.part.forEach((plane, j) => {
    const i = convolution.inputOf(o, j), values = convolution.parts[o][j];
    planes.K[o][j].figure.after(plane.figure);
    plane.show(`X[${i}] ∗ ${kernelName(o, j)}`, values, scales.Y, [], n => n === null
      ? `Sums of the products of X[${i}] and ${kernelName(o, j)}` : "",
    n => isHidden(o, ...convolution.outputIndex(n)));
    plane.write(precision, widths[precision].part);
  });
}

// A shape, and what each number in it counts.
const SHAPES = {
  X: () => [state.X.shape, "input channels, rows, columns"],
  K: c => [state.K.shape, `output channels, input channels${
    c.settings.groups > 1 ? " within the group" : ""}, rows, columns${c.settings.groups > 1
    ? `: ${kernelName(c.outChannels - 1, 0)} is for X[${c.inputOf(c.outChannels - 1, 0)}]` : ""}`],
  Y: c => [[c.outChannels, c.outHeight, c.outWidth], "output channels, rows, columns"],
};

function placeInInput(i, position) {
  const [row, column] = convolution.paddedIndex(position);
  if (!convolution.border.includes(position)) return `X[${i}][${row}, ${column}]`;
  const source = convolution.sources[position];
  if (source === null) return "padding";
  const {width} = convolution;
  return `padding, a copy of X[${i}][${Math.floor(source / width)}, ${source % width}]`;
}

function placeInOutput(o, position) {
  return `Y[${o}][${convolution.outputIndex(position).join(", ")}]`;
}

function placeInKernel(o, j, tap) {
  const width = convolution.kernelWidth;
  return `${kernelName(o, j)}[${Math.floor(tap / width)}, ${tap % width}]`;
}

// Fit the arrays into the window, so that what lights up is seen together with its sum: in cells
// from the first band of sizes in which they fit, side by side as in a product of matrices if
// possible. Numbers are hidden in cells that are too small to read; colors then show their values,
// and the sum below has the numbers.

const READABLE = 17;  // pixels for the height of a cell
const LARGE = 28;  // for a finger: smaller ones are made larger before there are parts
const band = (from, to) => range(to - from + 1).map(n => n + from);
const BANDS = [band(READABLE, 50), band(12, 16), band(8, 11), band(5, 7), band(3, 4)];
const PICTURES = [24, 40, 56, 72, 90, 110, 135, 165, 200, 250, 320, 400];  // pixels of the longer side
const PICTURE_BANDS = [[20, 90], [9, 56], [5, 40], [3, 24]];  // a kernel's cell, the least picture
const ROUNDED = "Rounded to two digits. The sum has three.";
// The most of the window that the sum may fill, and whether what is above the arrays may scroll away.
const LEAST_DOCK = 136;  // pixels: the player and two lines
const ROOMS = [{sum: .36, scrolls: false}, {sum: .25, scrolls: false}, {sum: .25, scrolls: true}];

function fit() {
  layOut();
  letScroll();
}

function layOut() {
  // A single input channel leaves room beside its kernels: each has its output there.
  const layouts = [["matrix", "parts"],
    ...convolution.inChannels === 1 ? [["pairs"]] : [["matrix"], ["strips"]]];
  // Pairs of sizes, of a cell and of a picture's element, from small to large. Choices of images
  // are above them, so these stay in sight if possible.
  const isPicture = planes.X[0].isPicture;
  const bands = isPicture
    ? PICTURE_BANDS.map(([size, least]) => PICTURES.filter(width => width >= least).map(width =>
      [size, width / Math.max(convolution.paddedHeight, convolution.paddedWidth)]))
    : BANDS.map(sizes => sizes.map(size => [size, 1]));
  const digitsFor = sizes => sizes[0][0] < READABLE ? [precision] : PRECISIONS;
  const tries = isPicture ? ROOMS.slice(1).flatMap(room => bands.map(sizes => [room, 3, sizes]))
    : bands.flatMap(sizes => digitsFor(sizes).flatMap(digits =>
      ROOMS.map(room => [room, digits, sizes])));
  const measured = measureWindow();
  for (const [room, digits, sizes] of tries) {
    const words = colorsInWords(sizes[0][0]) || (digits < 3 ? ROUNDED : "");
    const box = [measured.width, makeRoom(measured, room, words)];
    if (layouts.some(layout => fitInto(box, layout, digits, sizes))) return;
  }
  arrange(layouts[layouts.length - 1], ...bands[bands.length - 1][0]);  // scrolls in itself
}

// Lay out in the largest of the sizes that fits; return whether any does.
function fitInto([width, height], layout, digits, sizes) {
  // The browser takes long to lay out many cells, so it is asked for few sizes only.
  const likely = sizes.filter(size => isEstimatedToFit(layout, ...size, digits, width, height));
  if (!likely.length) return false;
  if (digits !== precision) writeNumbers(digits);
  const fits = size => {
    arrange(layout, ...size);
    return stage.scrollWidth <= stage.clientWidth && stage.scrollHeight <= height + 1;
  };
  if (!fits(likely[0])) return false;
  let [fitting, tooLarge] = [0, likely.length];
  while (tooLarge - fitting > 1) {
    const middle = Math.ceil((fitting + tooLarge) / 2);
    if (fits(likely[middle])) fitting = middle;
    else tooLarge = middle;
  }
  return fits(likely[fitting]);
}

// Whether a layout might fit: a little too optimistic rather than too pessimistic.
function isEstimatedToFit(layout, size, pixel, digits, wide, high) {
  const c = convolution, hasParts = layout[1] === "parts";
  if (hasParts && !planes.X[0].isPicture && size < LARGE) return false;
  const [caption, font] = [15, fontFor(size)];
  const sizeOf = (plane, element, kind = plane.index.kind) => {
    if (plane.isPicture) return [plane.columns * element, plane.rows * element + caption];
    const width = size < READABLE ? size : Math.max(size, widths[digits][kind] * font * .62 + 8);
    const padding = kind === "X" ? c.paddedWidth - c.width : 0;  // narrow if these are zeros
    return [(plane.columns - padding) * width + padding * size, plane.rows * size + caption];
  };
  const [[xWidth, xHeight], [kWidth, kHeight], [yWidth, yHeight]] =
    [sizeOf(planes.X[0], pixel), sizeOf(planes.K[0][0], size), sizeOf(planes.Y[0], pixel)];
  const bare = kHeight - (size < READABLE ? caption : 0);
  const place = kWidth + (hasParts ? sizeOf(planes.Y[0], pixel, "part")[0] + 6 : 0);
  const rowsOf = (count, width, available) => Math.ceil(count / Math.max(1, Math.floor(available / width)));
  const row = Math.max(bare, yHeight);
  if (layout[0] === "matrix") {
    return c.inChannels * (Math.max(xWidth, place) + 20) + yWidth <= wide
      && xHeight + c.outChannels * row + 40 <= high;
  }
  if (layout[0] === "pairs") {
    return Math.max(xWidth, kWidth + yWidth) <= wide
      && xHeight + row * rowsOf(c.outChannels, kWidth + yWidth, wide) + 40 <= high;
  }
  const height = xHeight * rowsOf(c.inChannels, xWidth, wide) + 40;
  const [allWidth, allHeight] = [c.inChannels * kWidth, c.outChannels * bare];
  const beside = wide - allWidth - 24;
  return allWidth <= wide && height + (beside > yWidth
    ? Math.max(allHeight, yHeight * rowsOf(c.outChannels, yWidth, beside))
    : allHeight + yHeight * rowsOf(c.outChannels, yWidth, wide)) <= high;
}

const fontFor = size => Math.min(20, Math.max(10, size * .5));

function arrange(layout, size, pixel) {
  stage.className = layout.join(" ") + (size >= READABLE ? "" : " tiny");
  stage.style.setProperty("--size", size + "px");
  stage.style.setProperty("--font", fontFor(size) + "px");
  stage.style.setProperty("--pixel", pixel + "px");
  if (layout[0] === "pairs") placePairs();
  if (convolution.settings.groups === 1) return;
  // Only some columns have the selected output's parts, so all get their width: nothing moves then.
  stage.style.setProperty("--place", "auto");
  const places = [...stage.querySelectorAll(".place.chosen:not(:has(.none))")];
  stage.style.setProperty("--place", Math.max(...places.map(place => place.offsetWidth)) + 1 + "px");
}

// Put as many kernels, each with its output, beside each other as there is room for.
function placePairs() {
  const pairs = planes.Y.map(({figure}, o) => [planes.K[o][0].figure.parentElement, figure]);
  const place = across => {
    stage.style.setProperty("--pairs", across);
    stage.style.setProperty("--rows", Math.ceil(pairs.length / across));
    pairs.forEach((pair, o) => pair.forEach(node => {
      node.style.setProperty("--row", Math.floor(o / across));
      node.style.setProperty("--column", o % across);
    }));
  };
  place(1);
  const [{left}, {right}] = pairs[0].map(node => node.getBoundingClientRect());
  const gap = parseFloat(getComputedStyle(stage).columnGap);
  place(Math.max(1, Math.floor((stage.clientWidth + gap) / (right - left + gap))));
}

// What the colors mean, of the arrays that have them if a cell has this size; or nothing.
function colorsInWords(size) {
  const kinds = {};  // by what their colors mean
  for (const kind of ["X", "K", "Y"]) {
    const isColored = planes[kind].flat()[0].isPicture || size < READABLE;
    if (!isColored || kind === "Y" && state.hide) continue;  // the scale is part of the answer
    const words = scaleInWords(scales[kind]);
    kinds[words] = [...kinds[words] || [], kind];
  }
  const each = Object.entries(kinds).map(([words, names]) => `${names.join(", ")}: ${words}`);
  return each.length ? `Colors stand for numbers. ${each.join("; ")}. Point at one to read it.` : "";
}

// What else is in the window: the dock as high as the sum needs, the longest note, and what is above
// the arrays. Their width is that without a scroll bar.
function measureWindow() {
  dockBox.style.height = "auto";
  [note.hidden, note.textContent] = [false, colorsInWords(0)];
  return {dock: Math.ceil(dockBox.getBoundingClientRect().height) + 1, note: note.offsetHeight,
    above: stage.getBoundingClientRect().top + scrollY,
    width: stage.clientWidth + innerWidth - document.documentElement.clientWidth};
}

// Write the note, give the dock a height that it keeps, so that the arrays stay where they are, and
// the arrays the rest, which is returned.
function makeRoom(measured, {sum, scrolls}, words) {
  const dock = Math.max(LEAST_DOCK, Math.min(measured.dock, sum * innerHeight));
  const room = innerHeight - dock - (words ? measured.note : 0) - 8 - (scrolls ? 0 : measured.above);
  [note.hidden, note.textContent] = [!words, words];
  dockBox.style.height = document.documentElement.style.scrollPaddingBottom = dock + "px";
  stage.style.setProperty("--room", room + "px");
  return room;
}

// Scroll so that the arrays are seen, where they aren't because of what is above them.
function reveal() {
  const selected = planes.Y[state.output].focusable(positionOfOutput());
  for (const node of [selected, stage]) node.scrollIntoView({block: "nearest", inline: "nearest"});
}
