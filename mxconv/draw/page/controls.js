// The controls beside the arrays: shapes, settings, examples, and the cost of what they make.

const form = document.getElementById("controls");
let factorsBefore = null;  // of the cost before the last change

const EXAMPLES = {  // by name: a link, see state.js
  "the chapter's": "",
  "padding 1": "padding=1",
  "stride 2": "X.shape=2,5,5&K.shape=3,2,3,3&strides=2&padding=1",
  "dilation 2": "X.shape=2,6,6&K.shape=3,2,2,2&dilation=2",
  "2 groups": "X.shape=4,3,3&K.shape=4,2,2,2&groups=2",
  "depthwise": "X.shape=4,3,3&K.shape=4,1,2,2&groups=4",
  "1×1": "X.shape=3,3,3&K.shape=2,3,1,1",
};

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

// What the controls say, where it differs from what is shown. Groups follow the channels.
function readControls(changed) {
  const value = name => Number(form.elements[name].value);
  const settings = state.settings;
  let [inChannels, outChannels, groups] = [value("c_i"), value("c_o"), value("groups")];
  const depthwise = settings.groups > 1
    && settings.groups === state.X.shape[0] && settings.groups === state.K.shape[0];
  if (depthwise && (changed === "c_i" || changed === "c_o")) {
    inChannels = outChannels = groups = value(changed);
  } else if (changed !== "groups") {
    groups = gcd(groups, gcd(inChannels, outChannels));
  }
  const pads = [0, 1].map(axis => {
    const name = axis ? "pad_w" : "pad_h";
    return name === changed ? [value(name), value(name)] : settings.padding[axis];
  });
  return {
    inputShape: [inChannels, value("h"), value("w")],
    kernelShape: [outChannels, inChannels / groups, value("k_h"), value("k_w")],
    strides: [value("stride_h"), value("stride_w")],
    dilation: [value("dilation_h"), value("dilation_w")],
    padding: pads,
    mode: form.elements.mode.value,
    groups,
  };
}

function writeControls() {
  const {strides, dilation, padding, groups, mode} = state.settings;
  const [inChannels, h, w] = state.X.shape, [outChannels, , k_h, k_w] = state.K.shape;
  const values = {c_i: inChannels, h, w, c_o: outChannels, k_h, k_w, mode,
    stride_h: strides[0], stride_w: strides[1], dilation_h: dilation[0], dilation_w: dilation[1],
    pad_h: padding[0][0], pad_w: padding[1][0]};
  for (const name in values) form.elements[name].value = values[name];
  const most = gcd(inChannels, outChannels), choices = range(most).map(n => n + 1);
  form.elements.groups.replaceChildren(...choices.filter(n => most % n === 0).map(n => {
    const words = n > 1 && n === inChannels ? `${n} (depthwise)` : String(n);
    return new Option(words, n, false, n === groups);
  }));
  for (const name of ["c_i", "h", "w", "c_o", "k_h", "k_w", "groups"]) {
    form.elements[name].disabled = isImage();
  }
  document.getElementById("double").disabled = isImage();
  const uneven = padding.some(([before, after]) => before !== after);
  document.getElementById("uneven").hidden = !uneven;
  document.getElementById("uneven").textContent = uneven
    ? `top ${padding[0][0]}, bottom ${padding[0][1]}, left ${padding[1][0]}, right ${padding[1][1]}` : "";
}

// What the multiplications are the product of: the number, as it is written, and what it counts.
function factorsOf(c) {
  return [
    [c.outChannels, c.outChannels, c.outChannels === 1 ? "output channel" : "output channels"],
    [c.groupChannels, c.groupChannels, (c.groupChannels === 1 ? "input channel" : "input channels")
      + (c.settings.groups > 1 ? " of a group" : "")],
    [c.kernelHeight * c.kernelWidth, `${c.kernelHeight}·${c.kernelWidth}`, "kernel"],
    [c.outHeight * c.outWidth, `${c.outHeight}·${c.outWidth}`, "outputs each"],
  ];
}

// How a factor has changed: how many times it is now what it was, or what it was.
function changeOf(now, before) {
  if (now === before) return "";
  if (now % before === 0) return `×${now / before}`;
  return before % now === 0 ? `÷${before / now}` : `was ${before}`;
}

function writeCost() {
  const c = convolution, {multiplications, additions, elements} = c.cost, factors = factorsOf(c);
  const box = document.getElementById("factors");
  box.replaceChildren();
  factors.forEach(([count, number, words], n) => {
    if (n) make("span", box, {class: "sign"}, "×");
    const factor = make("span", box, {class: "factor"});
    make("b", factor, {}, number);
    make("small", factor, {}, words);
    const change = factorsBefore && changeOf(count, factorsBefore[n][0]);
    if (change) make("span", factor, {class: "change"}, change);
  });
  const format = number => number.toLocaleString("en");
  document.getElementById("multiplications").textContent = format(multiplications);
  document.getElementById("additions").textContent = format(additions);
  document.getElementById("elements").textContent = format(elements)
    + ` (X\u00a0${format(c.X.data.length)}, K\u00a0${format(c.K.data.length)}, Y\u00a0${format(c.outChannels * c.outHeight * c.outWidth)})`;
  const before = factorsBefore ? factorsBefore.reduce((all, [count]) => all * count, 1) : multiplications;
  const ratio = multiplications / before;
  document.getElementById("ratio").textContent = ratio === 1 ? ""
    : ` — ${ratio > 1 ? formatNumber(ratio) + " times" : "1/" + formatNumber(1 / ratio) + " of"} the `
      + `${format(before)} before`;
}

// A 1x1 kernel beside the fully connected layer that it is, at the selected pixel.
function writeDense(o, position) {
  const box = document.getElementById("dense"), c = convolution;
  box.hidden = c.kernelHeight * c.kernelWidth > 1 || c.settings.groups > 1 || isImage();
  if (box.hidden) return;
  const window = c.windows[position], place = c.outputIndex(position);
  const matrix = (name, rows, lit) => {
    const figure = make("figure", null, {class: "matrix"});
    make("figcaption", figure, {}, name);
    const table = make("table", figure);
    rows.forEach((row, n) => {
      const tr = make("tr", table, {class: lit === null || lit === n ? "lit" : ""});
      row.forEach(value => make("td", tr, {}, value));
    });
    return figure;
  };
  const sign = text => make("span", null, {class: "sign"}, text);
  document.getElementById("product").replaceChildren(
    matrix(`K (${c.outChannels}×${c.inChannels})`, c.kernels.map(row => row.map(plane => formatNumber(plane[0]))), o),
    sign("·"),
    matrix(`X[:, ${place.join(", ")}]`, c.padded.map(plane => [formatNumber(plane[window[0]])]), null),
    sign("="),
    matrix(`Y[:, ${place.join(", ")}]`, c.output.map((plane, n) =>
      [isHidden(n, ...place) ? "?" : formatNumber(plane[position])]), o));
}

function writeScenes() {
  const scenes = document.getElementById("scenes"), kernels = document.getElementById("kernels");
  const choices = (box, names, name, chosen) => {
    box.querySelectorAll("label").forEach(label => label.remove());
    names.forEach((text, n) => {
      const label = make("label", box), input = make("input", label, {type: "radio", name, value: n});
      input.checked = n === chosen;
      label.append(text);
    });
    box.hidden = names.length < 2;
  };
  choices(scenes, DATA.scenes.map(one => one.name), "scene", state.scene);
  choices(kernels, scene().kernels.map(one => one.name), "kernel", state.kernel);
}
