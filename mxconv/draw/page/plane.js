// A plane of numbers: a table, or a picture with a pixel for each number.

function make(name, parent, attributes = {}, text = "") {
  const node = document.createElement(name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

// A color for a value: on a signed scale from blue to orange, white in the middle, else gray from
// black to white.
function shade(value, {most, signed}) {
  const part = value === 0 ? 0 : Math.min(1, Math.abs(value) / most);
  if (!signed) return range(3).map(() => value < 0 ? 0 : Math.round(255 * part));
  const away = Math.round(255 * (1 - part));
  return value < 0 ? [away, Math.round(255 * (1 - part * .55)), 255]
    : [255, Math.round(255 * (1 - part * .65)), away];
}

// The scale of colors that planes share: the magnitude at its end, which one number in 200 may
// exceed unless all others are zeros, and whether there are negative numbers. If the gray scale of
// other planes, `like`, shows nearly all of these, it is that: outputs that look like the picture
// they come from are pictures too, although a few of them are negative.
function scaleOf(planes, like = null) {
  const values = planes.flat().filter(Number.isFinite);
  const sum = measure => values.reduce((all, value) => all + measure(value), 0);
  const isLike = like && !like.signed
    && sum(value => Math.max(-value, value - like.most, 0)) <= .1 * sum(Math.abs);
  if (isLike) return like;
  const sizes = values.map(Math.abs).sort((a, b) => a - b), last = sizes.length - 1;
  return {most: sizes[Math.ceil(.995 * last)] || sizes[last] || 0,
    signed: planes.some(plane => plane.some(value => value < 0))};
}

function scaleInWords({most, signed}) {
  return signed ? `blue (≤ ${formatNumber(-most)}), white (0), orange (≥ ${formatNumber(most)})`
    : `black (≤ 0) to white (≥ ${formatNumber(most)})`;
}

const widthOf = (values, digits) =>
  Math.max(...values.map(value => formatNumber(value, digits).length));

class Plane {
  // `index` says which plane of X, K, Y or the parts it is: its kind and its channels.
  constructor(parent, index, rows, columns, isPicture) {
    Object.assign(this, {index, rows, columns, isPicture});
    this.figure = make("figure", parent, {class: "plane"});
    this.caption = make("figcaption", this.figure);
    if (this.isPicture) this.makePicture();
    else this.makeTable();
    this.body.plane = this;
  }

  makeTable() {
    this.body = make("table", this.figure, {role: "grid"});
    this.cells = range(this.rows).flatMap(() => {
      const row = make("tr", this.body, {role: "row"});
      return range(this.columns).map(() => make("td", row, {role: "gridcell", tabindex: -1}));
    });
  }

  makePicture() {
    this.body = make("div", this.figure, {class: "picture", tabindex: -1, role: "img"});
    this.canvas = make("canvas", this.body, {width: this.columns, height: this.rows});
    this.canvas.style.setProperty("--columns", this.columns);
    this.canvas.style.setProperty("--rows", this.rows);
    this.boxes = new Map();
    this.cells = [];
  }

  // `describe` gives the words for a position, which a screen reader reads, and `hidden` says
  // whether its number is a secret.
  show(name, values, scale, border, describe, hidden = () => false) {
    this.caption.textContent = name;
    this.body.setAttribute("aria-label", describe(null));
    Object.assign(this, {values, scale, describe, hidden});
    const padding = new Set(border);
    this.cells.forEach((cell, n) => cell.classList.toggle("padding", padding.has(n)));
  }

  // Write or paint the numbers; `width` is how many characters the longest has, in this plane or in
  // others.
  write(digits, width = this.widthOf(digits)) {
    if (this.isPicture) return this.paint();
    this.body.style.setProperty("--digits", width);
    this.cells.forEach((cell, n) => {
      cell.style.setProperty("--shade",
        this.hidden(n) ? "var(--secret)" : `rgb(${shade(this.values[n], this.scale)})`);
      cell.textContent = this.hidden(n) ? "?" : formatNumber(this.values[n], digits);
      cell.setAttribute("aria-label", this.describe(n) + (this.hidden(n) ? "hidden" : formatNumber(this.values[n])));
      cell.classList.toggle("secret", this.hidden(n));
    });
  }

  widthOf(digits) {
    return this.isPicture ? 0 : widthOf(this.values, digits);
  }

  // Hidden numbers stay transparent, as does NaN, which is no color.
  paint() {
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(this.columns, this.rows);
    this.values.forEach((value, n) => {
      const hasColor = !this.hidden(n) && !Number.isNaN(value);
      if (hasColor) image.data.set([...shade(value, this.scale), 255], 4 * n);
    });
    context.putImageData(image, 0, 0);
  }

  // Light positions up; `marks` has lists of them by class. A picture has a box around each list.
  mark(marks) {
    for (const name of ["lit", "now", "done"]) {
      const positions = marks[name] || [];
      if (!this.isPicture) {
        const lit = new Set(positions);
        this.cells.forEach((cell, n) => cell.classList.toggle(name, lit.has(n)));
        continue;
      }
      if (!this.boxes.has(name)) this.boxes.set(name, make("span", this.body, {class: "box " + name}));
      const box = this.boxes.get(name);
      box.hidden = !positions.length;
      if (box.hidden) continue;
      const rows = positions.map(n => Math.floor(n / this.columns));
      const columns = positions.map(n => n % this.columns);
      const [top, left] = [Math.min(...rows), Math.min(...columns)];
      box.style.top = 100 * top / this.rows + "%";
      box.style.left = 100 * left / this.columns + "%";
      box.style.height = 100 * (Math.max(...rows) + 1 - top) / this.rows + "%";
      box.style.width = 100 * (Math.max(...columns) + 1 - left) / this.columns + "%";
    }
  }

  // The position that an event is on, or null.
  positionOf(event) {
    if (!this.isPicture) {
      const n = this.cells.indexOf(event.target.closest("td"));
      return n < 0 ? null : n;
    }
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / box.width * this.columns);
    const row = Math.floor((event.clientY - box.top) / box.height * this.rows);
    const inside = row >= 0 && row < this.rows && column >= 0 && column < this.columns;
    return inside ? row * this.columns + column : null;
  }

  // What can have the focus at a position: a cell, or the whole picture.
  focusable(position) {
    return this.isPicture ? this.body : this.cells[position];
  }
}
