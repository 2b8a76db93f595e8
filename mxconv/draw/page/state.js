// What the page shows: which arrays, with which numbers and settings, and which output.

const DATA = JSON.parse(document.getElementById("data").textContent);

// The numbers of the chapter's second and fourth cells, continued to any shape.
const CHAPTERS = {
  X: (i, row, column, [, , columns]) => i + row * columns + column,
  K: (o, i, row, column, [, , , columns]) => o + i + row * columns + column,
};

const state = {
  scene: 0,  // arrays that the page was made for: numbers first, then images
  kernel: 0,  // which of the scene's kernels
  X: null, K: null, settings: null,
  output: 0, row: 0, column: 0,  // the selected element of Y
  plane: null, tap: null,  // how far its sum has been stepped through: null is all of it,
  // and plane NONE nothing
  hide: false,  // whether sums are hidden until they have been stepped through or clicked twice
};
const NONE = -1;
const disclosed = new Set();  // the outputs whose sums have been shown, as text

const keyOf = (o, row, column) => [o, row, column].join();
const isHidden = (o, row, column) => state.hide && !disclosed.has(keyOf(o, row, column));

const scene = () => DATA.scenes[state.scene];
const original = () => ({X: scene().X, ...scene().kernels[state.kernel]});
const isImage = () => state.scene > 0;
const limits = () => isImage() ? DATA.imageLimits : DATA.limits;

function decoded({shape, data}) {
  return {shape, data: data.map(Number)};  // "NaN" and "Infinity" aren't JSON
}

function choose(scene, kernel = 0) {
  [state.scene, state.kernel] = [scene, kernel];
  const {X, K, settings} = original();
  Object.assign(state, {X: decoded(X), K: decoded(K), settings});
  selectOutput(...start());
  disclosed.clear();
}

function selectOutput(output, row, column) {
  const plane = isHidden(output, row, column) ? NONE : null;
  Object.assign(state, {output, row, column, plane, tap: null});
}

// The output that is selected at first: of an image one in the middle, where there is much to see.
function start() {
  const sizes = outputSize(state.X.shape, state.K.shape, state.settings);
  return [0, ...sizes.map(size => isImage() ? Math.floor(size / 2) : 0)];
}

function indicesOf(shape, position) {
  return shape.map((_, axis) =>
    Math.floor(position / countElements(shape.slice(axis + 1))) % shape[axis]);
}

// What stands in an array of a shape as long as nobody edits it: the chapter's numbers if they are
// the page's own; otherwise the page's, and the chapter's where it has none.
function unedited(name, shape) {
  const own = decoded(original()[name]), chapters = CHAPTERS[name];
  const isChapters = own.data.every((value, n) =>
    Object.is(value, chapters(...indicesOf(own.shape, n), own.shape)));
  return range(countElements(shape)).map(n => {
    const indices = indicesOf(shape, n);
    if (isChapters || indices.some((index, axis) => index >= own.shape[axis])) {
      return chapters(...indices, shape);
    }
    return own.data[indices.reduce((flat, index, axis) => flat * own.shape[axis] + index, 0)];
  });
}

// The array with another shape. Edited numbers stay where they are, if that is still there.
function resized(name, shape) {
  const old = state[name], before = unedited(name, old.shape), data = unedited(name, shape);
  old.data.forEach((value, n) => {
    const indices = indicesOf(old.shape, n);
    if (Object.is(value, before[n]) || indices.some((index, axis) => index >= shape[axis])) return;
    data[indices.reduce((flat, index, axis) => flat * shape[axis] + index, 0)] = value;
  });
  return {shape, data};
}

// Change shapes and settings; return what is wrong with them, in a sentence, or null.
function change({inputShape = state.X.shape, kernelShape = state.K.shape, ...others}) {
  const settings = {...state.settings, ...others};
  const problem = problemWith(inputShape, kernelShape, settings, limits());
  if (problem) return problem;
  const resize = (name, shape) =>
    String(shape) === String(state[name].shape) ? state[name] : resized(name, shape);
  const [X, K] = [resize("X", inputShape), resize("K", kernelShape)];
  const [rows, columns] = outputSize(inputShape, kernelShape, settings);
  disclosed.clear();
  Object.assign(state, {X, K, settings});
  selectOutput(Math.min(state.output, kernelShape[0] - 1), Math.min(state.row, rows - 1),
    Math.min(state.column, columns - 1));
  return null;
}
