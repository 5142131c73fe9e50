// A chart as SVG, PNG or CSV file.
import { number, visible } from "./format.js";

export const LINES = {
  light: ["#0b5cad", "#c2410c", "#0f766e", "#9d174d", "#6d28d9", "#7c5e00", "#475569", "#15803d"],
  dark: ["#6cb0ff", "#ff9d66", "#4fd1c5", "#f49ac1", "#b9a3ff", "#e3c15a", "#a8b5c6", "#7ddc94"],
};
export const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [14, 4], [4, 2], [1, 4], [12, 3, 3, 3]];

const SIZE = { width: 720, height: 400, left: 64, right: 20, top: 48, bottom: 40 };

/** Round steps for an axis: 1, 2 or 5 times a power of ten. */
export function ticks(low, high, count = 6) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10);
  const first = Math.ceil(low / step), found = new Set(); // large values with a small range may have equal neighbours
  for (let place = 0; place <= 2 * count && (first + place) * step <= high + step / 1e6; place += 1) {
    found.add(Number(((first + place) * step).toPrecision(12)));
  }
  return [...found];
}

function limits(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value === null || value === undefined) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  if (low === high) return [low - (Math.abs(low) || 1) / 10, high + (Math.abs(high) || 1) / 10];
  const margin = (high - low) / 20;
  return [low - margin, high + margin];
}

function escaped(text) {
  return visible(text).replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`);
}

function pathOf(xs, ys, x, y) {
  let path = "", open = false;
  xs.forEach((one, at) => {
    if (ys[at] === null || ys[at] === undefined) {
      open = false;
      return;
    }
    path += `${open ? "L" : "M"}${x(one).toFixed(1)} ${y(ys[at]).toFixed(1)}`;
    open = true;
  });
  return path;
}

/** Draws lines with axes and a legend. `lines`: [{label, x, y, raw}]; `range`: the steps that are shown, or null. */
export function svgText(title, lines, range) {
  const shown = lines.map((line, order) => {
    const inside = line.x.map((step) => !range || (step >= range[0] && step <= range[1]));
    const part = (values) => values.filter((_, at) => inside[at]);
    return { label: line.label, order, x: part(line.x), y: part(line.y), raw: line.raw ? part(line.raw) : null };
  });
  const xs = limits(shown.flatMap((line) => line.x)), ys = limits(shown.flatMap((line) => [...line.y, ...(line.raw ?? [])]));
  const { width, height, left, right, top, bottom } = SIZE;
  const x = (value) => left + ((width - left - right) * (value - xs[0])) / (xs[1] - xs[0]);
  const y = (value) => height - bottom - ((height - top - bottom) * (value - ys[0])) / (ys[1] - ys[0]);
  const size = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`;
  const out = [`<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${left}" y="20" font-size="15" font-weight="600" fill="#1f2328">${escaped(title)}</text>`];
  for (const at of ticks(...ys)) {
    out.push(`<line x1="${left}" x2="${width - right}" y1="${y(at).toFixed(1)}" y2="${y(at).toFixed(1)}" stroke="#e3e6ea"/>`,
      `<text x="${left - 8}" y="${(y(at) + 4).toFixed(1)}" text-anchor="end" fill="#59636e">${number(at)}</text>`);
  }
  for (const at of ticks(...xs, 8)) {
    const place = `x="${x(at).toFixed(1)}" y="${height - bottom + 18}"`;
    out.push(`<text ${place} text-anchor="middle" fill="#59636e">${number(at)}</text>`);
  }
  out.push(`<text x="${width - right}" y="${height - 6}" text-anchor="end" fill="#59636e">step</text>`);
  let legend = left;
  for (const line of shown) {
    const colour = LINES.light[line.order % LINES.light.length], dash = DASHES[line.order % DASHES.length].join(" ");
    const style = `fill="none" stroke="${colour}" stroke-width="2" stroke-linejoin="round"${dash
      ? ` stroke-dasharray="${dash}"` : ""}`;
    if (line.raw) out.push(`<path d="${pathOf(line.x, line.raw, x,
      y)}" fill="none" stroke="${colour}" stroke-opacity="0.25"/>`);
    out.push(`<path d="${pathOf(line.x, line.y, x, y)}" ${style}/>`);
    if (shown.length > 1) {
      out.push(`<path d="M${legend} 34h24" ${style}/>`,
        `<text x="${legend + 30}" y="38" fill="#1f2328">${escaped(line.label)}</text>`);
      legend += 48 + 7 * line.label.length;
    }
  }
  return out.join("\n") + "\n</svg>\n";
}

/** The values as a table with a column per line. */
export function csvText(lines) {
  const quoted = (text) => /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const named = (text) => quoted(/^[=+@-]/.test(text) ? "'" + text : text); // a spreadsheet would compute it
  const steps = [...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  const columns = lines.map((line) => new Map(line.x.map((step, at) => [step, (line.raw ?? line.y)[at]])));
  const rows = steps.map((step) => [step, ...columns.map((column) => column.get(step) ?? "")].join(","));
  return [["step", ...lines.map((line) => named(line.label))].join(","), ...rows].join("\r\n") + "\r\n";
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name.replace(/[^\w.-]+/g, "_");
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** Saves a chart. `format` is "svg", "png" or "csv". */
export async function saveChart(format, title, lines, range) {
  if (format === "csv") return save(new Blob([csvText(lines)], { type: "text/csv" }), `${title}.csv`);
  const drawn = new Blob([svgText(title, lines, range)], { type: "image/svg+xml" });
  if (format === "svg") return save(drawn, `${title}.svg`);
  const address = URL.createObjectURL(drawn);
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * SIZE.width;
  canvas.height = 2 * SIZE.height;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(address);
  return canvas.toBlob((blob) => save(blob, `${title}.png`), "image/png");
}
