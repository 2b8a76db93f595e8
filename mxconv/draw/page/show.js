// Everything on the page, lit up and written anew: after a step, a change, or a link.

const [notice, playButton, backButton, forwardButton, by, speed, hideBox] =
  ["notice", "play", "back", "forward", "by", "speed", "hide"].map(id => document.getElementById(id));
let timer = null;  // of playing
let pointed = null;  // {plane, position}: what the pointer or the focus is on
let pinned = false;  // whether it stays when the pointer leaves

// Light up, write the sum, and keep the link.
function show() {
  const uses = pointed !== null && "XK".includes(pointed.plane.index.kind);
  const {o: over, position: above} = pointed && !uses
    ? {o: pointed.plane.index.o, position: pointed.position} : {};
  const previews = over !== undefined && (over !== state.output || above !== positionOfOutput());
  const [o, position] = previews ? [over, above]
    : [uses && pointed.plane.index.kind === "K" ? pointed.plane.index.o : state.output, positionOfOutput()];
  const place = convolution.outputIndex(position);
  if (!previews && !uses && state.plane === null) disclose(o, position);
  const [plane, tap] = previews ? [isHidden(o, ...place) ? NONE : null, null]
    : [state.plane, state.tap];
  document.querySelectorAll(".place").forEach((place, n) =>
    place.classList.toggle("chosen", Math.floor(n / convolution.inChannels) === o));
  planes.Y.forEach((y, n) => y.figure.classList.toggle("chosen", n === o));
  showParts(o);
  if (uses) lightUses(pointed.plane.index, pointed.position, o);
  else lightSum(o, position, plane, tap);
  totals.forEach((row, n) => row.forEach((total, j) => {
    total.textContent = n === o && !uses && isAdded(j, plane, tap)
      ? formatNumber(convolution.parts[n][j][position]) : "";
  }));
  if (uses) writeUses(pointed.plane.index, pointed.position);
  else {
    writeSum(o, position, plane, tap);
    if (!timer) speak(o, position, plane, tap);
  }
  writeDense(o, position);
  setTabStops();
  if (!timer) keepLink();
}

// Show what has been hidden: the sum of an output that has been stepped through.
function disclose(o, position) {
  const key = keyOf(o, ...convolution.outputIndex(position));
  if (disclosed.has(key)) return;
  disclosed.add(key);
  if (!state.hide) return;
  planes.Y[o].write(precision, widths[precision].Y);
  partsOf = null;  // to be written anew
}

function lightSum(o, position, plane, tap) {
  const window = convolution.windows[position];
  const marksFor = (j, positions) => {
    if (j === null) return {};
    if (plane === null || plane === NONE) return {lit: positions};
    if (j < plane) return {done: positions};
    if (j > plane) return {};
    return tap === null ? {lit: positions} : {lit: positions, now: [positions[tap]]};
  };
  const taps = range(convolution.kernelHeight * convolution.kernelWidth);
  planes.X.forEach((x, i) => x.mark(marksFor(convolution.planeFor(o, i), window)));
  planes.K.forEach((row, n) => row.forEach((k, j) => k.mark(n === o ? marksFor(j, taps) : {})));
  planes.part.forEach((part, j) =>
    part.mark(plane === null || j <= plane ? {lit: [position]} : {}));
  planes.Y.forEach((y, n) => y.mark(n === o ? {now: [position], lit: [position]} : {}));
}

function lightUses({kind, i, o, j}, position, shown) {
  const uses = kind === "X" ? usesOfInput(i, position) : usesOfKernel(o, j, position);
  const channel = kind === "X" ? i : convolution.inputOf(o, j);
  const here = {lit: [position], now: [position]};
  planes.X.forEach((x, n) => x.mark(n !== channel ? {} : kind === "X" ? here
    : {lit: uses.map(use => use.position)}));
  planes.K.forEach((row, m) => row.forEach((k, n) => k.mark(kind === "K"
    ? (m === o && n === j ? here : {})
    : {lit: uses.filter(use => use.o === m && use.j === n).map(use => use.tap)})));
  planes.Y.forEach((y, n) => y.mark({
    lit: uses.filter(use => use.o === n).map(use => use.output)}));
  planes.part.forEach((part, n) => part.mark({
    lit: uses.filter(use => use.o === shown && use.j === n).map(use => use.output)}));
}

// Each of X, K and Y is one stop for the Tab key.
function setTabStops() {
  for (const kind of ["X", "K", "Y"]) {
    document.querySelectorAll(`#${kind} [tabindex="0"]`).forEach(node => { node.tabIndex = -1; });
    const [plane, position] = kind === "Y" ? [planes.Y[state.output], positionOfOutput()]
      : pointed && pointed.plane.index.kind === kind ? [pointed.plane, pointed.position]
        : [planes[kind].flat()[0], 0];
    plane.focusable(position).tabIndex = 0;
  }
}

let kept = null;  // browsers allow only so many changes of the address

function keepLink() {
  const link = toLink();
  if (link === kept) return;
  kept = link;
  try {
    history.replaceState(null, "", "#" + link);
  } catch (error) {
    // A page inside a notebook has no address of its own.
  }
}

// After a change of arrays or settings.
function renew(problem = null) {
  notice.textContent = problem || "";
  [pointed, pinned] = [null, false];
  hideBox.checked = state.hide;
  writeScenes();
  writeControls();
  build();
  writeCost();
  show();
  fit();
}

function follow(link) {
  stop();
  kept = null;
  const problem = fromLink(link);
  if (problem) fromLink(state.hide ? "hide=1" : "");
  factorsBefore = null;  // other arrays can't be compared
  renew(problem);
}

// Follow one of the page's own links, which leave it to the reader whether answers are hidden.
function turnTo(link) {
  follow(link + (state.hide ? "&hide=1" : ""));
}

function adjust(changes) {
  if (timer) toggle();
  const before = factorsOf(convolution), problem = change(changes);
  if (problem) {
    notice.textContent = problem;
    writeControls();
    return;
  }
  factorsBefore = before;
  renew();
}
