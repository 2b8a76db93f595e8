// Through the outputs one by one and, within each, through its input channels and their products.

const PAUSES = {product: 900, channel: 1400, output: 1500};  // milliseconds at normal speed

// The steps of one output: each product, each channel's sum, and at last the whole sum.
function stepsOf(o, by) {
  const {groupChannels, kernelHeight, kernelWidth} = convolution;
  const count = kernelHeight * kernelWidth, whole = {plane: null, tap: null};
  const nothing = state.hide ? [{plane: NONE, tap: null}] : [];
  if (by === "output") return [...nothing, whole];
  const taps = by === "product" && count > 1 ? range(count) : [];
  const sums = groupChannels > 1 ? [null] : [];  // the sum of a single channel is the whole
  return [...nothing, ...range(groupChannels).flatMap(plane =>
    [...taps, ...sums].map(tap => ({plane, tap}))), whole];
}

// Go one step forwards (1) or back (-1). After the last output comes the first again.
function step(by, direction) {
  const steps = stepsOf(state.output, by);
  let n = steps.findIndex(({plane, tap}) => plane === state.plane && tap === state.tap);
  if (n < 0) n = steps.findIndex(({plane}) => plane === state.plane);  // of another kind of steps
  n += direction;
  if (n < 0 || n >= steps.length) {
    moveOutput(direction);
    n = n < 0 ? steps.length - 1 : 0;
  }
  Object.assign(state, steps[n]);
}

function moveOutput(direction) {
  const {outChannels, outHeight, outWidth} = convolution, each = outHeight * outWidth;
  const count = outChannels * each;
  const n = (state.output * each + positionOfOutput() + direction + count) % count;
  Object.assign(state, {output: Math.floor(n / each),
    row: Math.floor(n % each / outWidth), column: n % outWidth});
}
