// Cross-correlation: what each output is the sum of, and what all of them cost. An array is
// {shape, data}, flat, with the last axis fastest. A position counts the elements of a plane row by
// row.

const countElements = shape => shape.reduce((count, size) => count * size, 1);
const range = count => [...Array(count).keys()];

class Convolution {
  // X has the shape [c_i, h, w] and K [c_o, c_i / groups, k_h, k_w]. The settings are strides and
  // dilation, [rows, columns]; padding, [[top, bottom], [left, right]]; groups; and the
  // padding's mode.
  constructor(X, K, settings) {
    [this.inChannels, this.height, this.width] = X.shape;
    [this.outChannels, this.groupChannels, this.kernelHeight, this.kernelWidth] = K.shape;
    [this.X, this.K, this.settings] = [X, K, settings];
    const {strides, dilation, padding, mode} = settings;
    const [rows, columns] = [0, 1].map(axis =>
      sourcesOf(X.shape[1 + axis], ...padding[axis], mode));
    [this.paddedHeight, this.paddedWidth] = [rows.length, columns.length];
    [this.outHeight, this.outWidth] = outputSize(X.shape, K.shape, settings);
    // For each padded position, the input's position that it holds a copy of, or null for a zero.
    this.sources = rows.flatMap(i => columns.map(j =>
      i === null || j === null ? null : i * this.width + j));
    const [top, left] = [padding[0][0], padding[1][0]];
    this.border = range(rows.length * columns.length).filter(position => {
      const [i, j] = this.paddedIndex(position);
      return i < 0 || i >= this.height || j < 0 || j >= this.width;
    });
    this.padded = range(this.inChannels).map(i => this.sources.map(source =>
      source === null ? 0 : X.data[i * this.height * this.width + source]));
    this.kernels = range(this.outChannels).map(o => range(this.groupChannels).map(j =>
      this.kernelPlane(o, j)));
    this.windows = range(this.outHeight * this.outWidth).map(position => {
      const [row, column] = this.outputIndex(position);
      const first = row * strides[0] * columns.length + column * strides[1];
      return range(this.kernelHeight * this.kernelWidth).map(tap => first
        + Math.floor(tap / this.kernelWidth) * dilation[0] * columns.length
        + tap % this.kernelWidth * dilation[1]);
    });
    this.parts = this.kernels.map((planes, o) => planes.map((kernel, j) => {
      const plane = this.padded[this.inputOf(o, j)];
      return this.windows.map(window => {
        let sum = 0;
        for (let tap = 0; tap < kernel.length; tap++) sum += kernel[tap] * plane[window[tap]];
        return sum;
      });
    }));
    this.output = this.parts.map(planes => this.windows.map((_, position) =>
      planes.reduce((sum, plane) => sum + plane[position], 0)));
  }

  kernelPlane(o, j) {
    const size = this.kernelHeight * this.kernelWidth, first = (o * this.groupChannels + j) * size;
    return this.K.data.slice(first, first + size);
  }

  // The input channel that plane j of output channel o's kernel is for.
  inputOf(o, j) {
    const group = Math.floor(o / (this.outChannels / this.settings.groups));
    return group * this.groupChannels + j;
  }

  // The plane of output channel o's kernel that is for input channel i, or null: another group.
  planeFor(o, i) {
    const j = i - this.inputOf(o, 0);
    return j >= 0 && j < this.groupChannels ? j : null;
  }

  outputIndex(position) {
    return [Math.floor(position / this.outWidth), position % this.outWidth];
  }

  // Row and column in the input, counted from its own first: those of the padding may be negative.
  paddedIndex(position) {
    const [[top], [left]] = this.settings.padding;
    return [Math.floor(position / this.paddedWidth) - top, position % this.paddedWidth - left];
  }

  // The products that a padded position of an input channel is in: output positions and taps.
  usesOf(position) {
    return this.windows.flatMap((window, output) => {
      const tap = window.indexOf(position);
      return tap < 0 ? [] : [{output, tap}];
    });
  }

  // Multiplications, additions and elements, as mxconv.exercises.count_cost counts them.
  get cost() {
    const outputs = this.outChannels * this.outHeight * this.outWidth;
    const products = this.groupChannels * this.kernelHeight * this.kernelWidth;
    return {
      multiplications: outputs * products,
      additions: outputs * (products - 1),
      elements: this.X.data.length + this.K.data.length + outputs,
    };
  }
}

// For each row (or column) of the padded input, the one it copies, or null for zeros.
function sourcesOf(size, before, after, mode) {
  return range(before + size + after).map(n => {
    const i = n - before;
    if (i >= 0 && i < size) return i;
    if (mode === "reflect") return i < 0 ? -i : 2 * (size - 1) - i;
    if (mode === "edge") return i < 0 ? 0 : size - 1;
    if (mode === "circular") return (i + size) % size;
    return null;
  });
}

function outputSize(inputShape, kernelShape, {strides, padding, dilation}) {
  return [0, 1].map(axis => {
    const padded = inputShape[1 + axis] + padding[axis][0] + padding[axis][1];
    const seen = dilation[axis] * (kernelShape[2 + axis] - 1) + 1;
    return Math.floor((padded - seen) / strides[axis]) + 1;
  });
}

// Why there is no such convolution, or one too large to be read: a sentence, or null.
function problemWith(inputShape, kernelShape, settings, limits) {
  const [inChannels, height, width] = inputShape;
  const [outChannels, groupChannels, ...kernel] = kernelShape;
  const {strides, padding, dilation, groups, mode} = settings;
  const sizes = [...inputShape, ...kernelShape, ...strides, ...dilation, groups];
  if (!sizes.every(size => Number.isInteger(size) && size >= 1)) {
    return "Every size, stride, dilation and number of channels is a whole number from 1.";
  }
  if (!padding.flat().every(size => Number.isInteger(size) && size >= 0)) {
    return "Padding is a whole number from 0.";
  }
  if (inChannels % groups || outChannels % groups) {
    return `${inChannels} input and ${outChannels} output channels can't be divided into `
      + `${groups} groups.`;
  }
  if (groupChannels * groups !== inChannels) {
    return `A kernel for ${groupChannels * groups} input channels doesn't fit ${inChannels}.`;
  }
  for (const [axis, name] of [[0, "rows"], [1, "columns"]]) {
    const size = inputShape[1 + axis], most = Math.max(...padding[axis]);
    if (mode === "reflect" && most >= size) {
      return `'reflect' mirrors at most ${size - 1} ${name} of ${size}, not ${most}.`;
    }
    if (mode === "circular" && most > size) {
      return `'circular' repeats at most ${size} ${name} of ${size}, not ${most}.`;
    }
    const padded = size + padding[axis][0] + padding[axis][1];
    const seen = dilation[axis] * (kernel[axis] - 1) + 1;
    if (seen > padded) {
      return `The kernel sees ${seen} ${name}, but the input has ${padded} with its padding.`;
    }
    if (padded > limits.across) {
      return `At most ${limits.across} ${name} are drawn, with padding; these are ${padded}.`;
    }
  }
  if (inChannels > limits.channels || outChannels > limits.channels) {
    return `At most ${limits.channels} input and output channels are drawn.`;
  }
  const products = countElements(kernelShape.slice(1));
  if (products > limits.products) {
    return `At most ${limits.products} products in a sum are drawn; these are ${products}.`;
  }
  return null;
}
