// The link that holds what the page shows: only what differs from the page as it was made.

const MODES = ["zeros", "reflect", "edge", "circular"];
const COUNTS = {  // of numbers in the parts of a link
  scene: [1], kernel: [1], "X.shape": [3], "K.shape": [4], strides: [1, 2], padding: [1, 2, 4],
  dilation: [1, 2], groups: [1], hide: [1], at: [3],
};
const PARTS = [...Object.keys(COUNTS), "mode", "X", "K"];

function toLink() {
  const query = new URLSearchParams(), own = original(), {settings} = state;
  const add = (name, value, usual) => {
    const texts = [value, usual].map(one => [one].flat(2).map(exactText).join(","));
    if (texts[0] !== texts[1]) query.set(name, texts[0]);
  };
  add("scene", state.scene, 0);
  add("kernel", state.kernel, 0);
  add("X.shape", state.X.shape, own.X.shape);
  add("K.shape", state.K.shape, own.K.shape);
  for (const name of ["strides", "padding", "dilation", "groups", "mode"]) {
    add(name, settings[name], own.settings[name]);
  }
  for (const name of ["X", "K"]) {
    if (!isImage()) add(name, state[name].data, unedited(name, state[name].shape));
  }
  add("hide", Number(state.hide), 0);
  add("at", [state.output, state.row, state.column], start());
  return query.toString().replaceAll("%2C", ",");
}

// Show what a link says; return what is wrong with it, or null. A wrong link leaves the page's own,
// and whether it hides answers.
function fromLink(text) {
  try {
    readLink(new URLSearchParams(text));
    return null;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return error.message;
  }
}

function readLink(query) {
  const demand = (condition, message) => {
    if (!condition) throw new RangeError(message);
  };
  const brief = text => String(text).replace(/^(.{60}).+/s, "$1…");
  const wrong = name => `The link's ${name}=${brief(query.get(name))} can't be shown.`;
  const numbers = (name, usual) => {
    if (!query.has(name)) return usual;
    // An empty text would be 0.
    const values = query.get(name).split(",").map(text => text.trim() ? Number(text) : NaN);
    demand(!COUNTS[name] || COUNTS[name].includes(values.length), wrong(name));
    return values;
  };
  state.hide = false;
  const [hide] = numbers("hide", [0]);
  demand(hide === 0 || hide === 1, wrong("hide"));
  state.hide = hide === 1;
  choose(0);
  for (const name of query.keys()) {
    demand(PARTS.includes(name), `The link has a part that means nothing here: ${brief(name)}.`);
  }
  const [number] = numbers("scene", [0]), [kernel] = numbers("kernel", [0]);
  demand(DATA.scenes[number] && DATA.scenes[number].kernels[kernel],
    "The link is to an image or a kernel that this page doesn't have.");
  choose(number, kernel);
  demand(!isImage() || !["X.shape", "K.shape", "X", "K"].some(name => query.has(name)),
    "The link changes the numbers or the shape of an image, which can't be shown.");

  const {strides, dilation, padding, groups, mode} = state.settings;
  const pair = values => values.length === 1 ? [values[0], values[0]] : values;
  const pads = pair(numbers("padding", padding.flat()));
  const modeOf = query.has("mode") ? query.get("mode") : mode;
  demand(MODES.includes(modeOf), wrong("mode"));
  const problem = change({
    inputShape: numbers("X.shape", state.X.shape),
    kernelShape: numbers("K.shape", state.K.shape),
    strides: pair(numbers("strides", strides)),
    dilation: pair(numbers("dilation", dilation)),
    padding: pads.length === 4 ? [pads.slice(0, 2), pads.slice(2)] : pads.map(pad => [pad, pad]),
    groups: numbers("groups", [groups])[0],
    mode: modeOf,
  });
  demand(!problem, problem);

  for (const name of ["X", "K"]) {
    if (!query.has(name)) continue;
    const texts = query.get(name).split(","), data = numbers(name);
    const isNumber = (text, n) => text === "NaN" || !Number.isNaN(data[n]);
    demand(data.length === state[name].data.length && texts.every(isNumber), wrong(name));
    state[name].data = data;
  }
  const at = numbers("at", start());
  const sizes = [state.K.shape[0], ...outputSize(state.X.shape, state.K.shape, state.settings)];
  demand(at.every((index, axis) => Number.isInteger(index) && index >= 0 && index < sizes[axis]),
    wrong("at"));
  selectOutput(...at);
}
