// What the reader does: pointing, editing, playing, keys and controls.

// The plane of X, K or Y that an event is on, or null.
function planeAt(event) {
  const body = event.target.closest && event.target.closest("table, .picture");
  return body && body.plane && body.plane.index.kind !== "part" ? body.plane : null;
}

function point(plane, position, pin = false) {
  if (pointed && pointed.plane === plane && pointed.position === position && pinned === pin) return;
  pointed = {plane, position};
  pinned = pin;
  show();
}

function unpoint() {
  if (!pointed) return;
  [pointed, pinned] = [null, false];
  show();
}

stage.addEventListener("pointermove", event => {
  if (pinned || timer || event.pointerType === "touch") return;
  const plane = planeAt(event), position = plane && plane.positionOf(event);
  if (plane && position !== null) point(plane, position);
  else unpoint();
});
stage.addEventListener("pointerleave", () => { if (!pinned) unpoint(); });
stage.addEventListener("click", event => {
  const plane = planeAt(event), position = plane && plane.positionOf(event);
  if (!plane || position === null) return unpoint();
  stop();
  if (plane.index.kind === "Y") select(plane.index.o, position);
  else point(plane, position, true);
  plane.focusable(position).focus({preventScroll: true});
});
stage.addEventListener("dblclick", event => {
  const plane = planeAt(event), position = plane && plane.positionOf(event);
  if (position !== null && "XK".includes(plane.index.kind)) edit(plane, position);
});
stage.addEventListener("focusin", event => {
  const plane = planeAt(event);
  if (!plane || timer || !event.target.matches(":focus-visible")) return;
  if (plane.index.kind === "Y") return unpoint();
  point(plane, focusedPosition(plane, event.target), true);
});

// Where the focus is in a plane; in a picture, which has it as a whole, where it was pointed at.
function focusedPosition(plane, node) {
  if (!plane.isPicture) return plane.cells.indexOf(node);
  return pointed && pointed.plane === plane ? pointed.position : 0;
}

// A second click on an output shows a hidden sum.
function select(output, position) {
  const again = output === state.output && position === positionOfOutput();
  selectOutput(output, ...convolution.outputIndex(position));
  if (again) state.plane = null;
  [pointed, pinned] = [null, false];
  show();
  reveal();
}

function edit(plane, position) {
  stop();
  point(plane, position, true);
  const input = document.getElementById("value");
  if (!input) return;
  input.focus();
  input.select();
}

dock.addEventListener("change", event => {
  if (event.target.id !== "value" || !pointed) return;  // or it is taken away with what it was in
  const {plane: {index: {kind, i, o, j}}, position} = pointed;
  const value = Number(event.target.value || NaN);  // valueAsNumber makes 0 of -0
  if (Number.isNaN(value)) {
    notice.textContent = `A number is expected there; it is still ${formatNumber(
      kind === "X" ? convolution.padded[i][position] : convolution.kernels[o][j][position])}.`;
    return;
  }
  notice.textContent = "";
  const isFocused = document.activeElement === event.target;  // or it is being left
  const array = {shape: state[kind].shape, data: [...state[kind].data]};
  if (kind === "X") array.data[i * convolution.height * convolution.width + convolution.sources[position]] = value;
  else array.data[(o * convolution.groupChannels + j) * convolution.kernels[o][j].length + position] = value;
  state[kind] = array;
  disclosed.clear();
  selectOutput(state.output, state.row, state.column);
  convolution = new Convolution(state.X, state.K, state.settings);
  fillIn();
  show();
  fit();
  if (isFocused) document.getElementById("value").focus();
});
dock.addEventListener("click", event => {
  const button = event.target.closest("[data-plane]");
  if (!button) return;
  stop();
  if (pointed) unpoint();
  const plane = Number(button.dataset.plane);
  Object.assign(state, {plane, tap: null});
  show();
  dock.querySelector(`[data-plane="${plane}"]`).focus();
});

// Playing

function go(direction) {
  [pointed, pinned] = [null, false];
  const within = document.getElementById("Y").contains(document.activeElement);
  step(by.value, direction);
  show();
  if (!timer) reveal();
  if (within) planes.Y[state.output].focusable(positionOfOutput()).focus({preventScroll: true});
}

function tick() {
  go(1);
  timer = setTimeout(tick, PAUSES[by.value] / Number(speed.value));
}

function stop() {
  clearTimeout(timer);
  timer = null;
  playButton.textContent = "Play";
}

function toggle() {
  if (timer) {
    stop();
    return show();
  }
  playButton.textContent = "Pause";
  reveal();
  timer = setTimeout(tick, 0);
}

playButton.addEventListener("click", toggle);
backButton.addEventListener("click", () => { stop(); go(-1); });
forwardButton.addEventListener("click", () => { stop(); go(1); });

// Keys

const ARROWS = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};

document.addEventListener("keydown", event => {
  const {target, key} = event;
  if (event.altKey || event.metaKey || target.closest("input, select, textarea, summary")) {
    if (key !== "Escape" || target.id !== "value") return;
    target.value = target.defaultValue;
    pointed.plane.focusable(pointed.position).focus();
    return;
  }
  const plane = planeAt(event), inside = plane && "XK".includes(plane.index.kind);
  if (key === "Escape") {
    if (timer) toggle();
    unpoint();
  } else if (key === " ") {
    if (target.closest("button")) return;
    if (!event.repeat) toggle();
  } else if (key === "Enter" && inside) {
    edit(plane, focusedPosition(plane, target));
  } else if (/^[-.\d]$/.test(key) && inside && !event.ctrlKey) {
    return edit(plane, focusedPosition(plane, target));  // the key replaces the number
  } else if (key in ARROWS && inside && !event.shiftKey) {
    stop();
    walk(plane, focusedPosition(plane, target), ...ARROWS[key]);
  } else if (key in ARROWS && target.closest(".lines")) {
    // A browser would go on with the page at the end of the list.
    target.scrollTop += ARROWS[key][0] * parseFloat(getComputedStyle(target.firstChild).lineHeight);
  } else if (key in ARROWS) {
    stop();
    const [down, right] = ARROWS[key];
    if (event.shiftKey && right) go(right);
    else if (event.shiftKey) moveSelection(down, 0, 0);
    else moveSelection(0, down, right);
  } else if (key === "Home" || key === "End") {
    if (!plane || plane.index.kind !== "Y") return;
    const far = key === "Home" ? -1e6 : 1e6;
    stop();
    moveSelection(0, event.ctrlKey ? far : 0, far);
  } else return;
  event.preventDefault();
});

// Select another output, or the same one at the edge.
function moveSelection(channels, down, right) {
  const within = document.getElementById("Y").contains(document.activeElement);
  const clamp = (n, count) => Math.max(0, Math.min(count - 1, n));
  const {outChannels, outHeight, outWidth} = convolution;
  const [row, column] = [clamp(state.row + down, outHeight), clamp(state.column + right, outWidth)];
  select(clamp(state.output + channels, outChannels), row * outWidth + column);
  if (within) planes.Y[state.output].focusable(positionOfOutput()).focus({preventScroll: true});
}

// Move the focus through the cells of X or K, and from plane to plane.
function walk(plane, position, down, right) {
  const {kind, o, j} = plane.index, all = planes[kind].flat(), {rows, columns} = plane;
  let [row, column] = [Math.floor(position / columns) + down, position % columns + right];
  let to = plane;
  if (column < 0 || column >= columns) {
    to = all[all.indexOf(plane) + right];
    column = (column + columns) % columns;
  } else if (row < 0 || row >= rows) {
    to = kind === "K" ? (planes.K[o + down] || [])[j] : undefined;
    row = (row + rows) % rows;
  }
  if (!to) return;
  const next = row * columns + column;
  point(to, next, true);
  to.focusable(next).focus({preventScroll: true});
}

// Controls

form.addEventListener("change", event => {
  if (event.target.name) adjust(readControls(event.target.name));
});
form.addEventListener("submit", event => event.preventDefault());
document.getElementById("double").addEventListener("click", () => {
  const [inChannels, ...size] = state.X.shape, [outChannels, groupChannels, ...kernel] = state.K.shape;
  adjust({inputShape: [2 * inChannels, ...size],
    kernelShape: [2 * outChannels, 2 * groupChannels, ...kernel]});
});
for (const id of ["scenes", "kernels"]) {
  document.getElementById(id).addEventListener("change", event => {
    const n = Number(event.target.value), name = event.target.name;
    turnTo(id === "scenes" ? `scene=${n}` : `scene=${state.scene}&kernel=${n}`);
    document.querySelector(`input[name=${name}][value="${n}"]`).focus();
  });
}
for (const [name, link] of Object.entries(EXAMPLES)) {
  make("button", document.getElementById("examples"), {type: "button"}, name)
    .addEventListener("click", () => turnTo(link));
}
hideBox.addEventListener("change", () => {
  stop();
  state.hide = hideBox.checked;
  disclosed.clear();
  selectOutput(state.output, state.row, state.column);
  [pointed, pinned] = [null, false];
  writeNumbers(precision);
  show();
  fit();  // the note is another one
});
addEventListener("hashchange", () => follow(location.hash.slice(1)));
addEventListener("resize", fit);
document.getElementById("settings").addEventListener("toggle", fit);

document.getElementById("settings").open = matchMedia("(min-width: 60rem)").matches;
follow(location.hash.slice(1));
