/** Numbers and times as pages show them. */

export const NONE = "–";

export function count(value: number | null | undefined): string {
  return value == null ? NONE : value.toLocaleString("en");
}

/** 7,331,330 is 7.33 M. */
export function short(value: number | null | undefined): string {
  if (value == null) return NONE;
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]] as const) {
    if (value >= size) return `${significant(value / size)} ${unit}`;
  }
  return count(value);
}

export function bytes(value: number | null | undefined): string {
  if (value == null) return NONE;
  return value < 1000 ? `${value} B` : `${short(value)}B`;
}

export function significant(value: number | null | undefined, digits = 3): string {
  if (value == null) return NONE;
  if (value === 0) return "0";
  if (Math.abs(value) < 1e-3) return value.toExponential(1);
  return Math.abs(value) >= 10 ** (digits - 1) ? Math.round(value).toLocaleString("en") : value.toPrecision(digits);
}

/** A metric: four decimals, as reports have them. */
export function metric(value: number | null | undefined): string {
  return value == null ? NONE : value.toFixed(4);
}

export function percent(value: number | null | undefined, digits = 0): string {
  return value == null ? NONE : `${(value * 100).toFixed(digits)} %`;
}

export function ms(value: number | null | undefined): string {
  return value == null ? NONE : `${significant(value)} ms`;
}

export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return NONE;
  if (seconds < 60) return `${significant(seconds, seconds < 10 ? 2 : 3)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function moment(iso: string | null | undefined): string {
  if (iso == null) return NONE;
  return new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

export function clock(iso: string): string {
  return new Date(iso).toLocaleTimeString("en-GB");
}

/** `text_classification` in words. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

/** What a job does: a method's name, or a search among them. */
export function methodName(name: string | null): string {
  return name === "auto" ? "search" : words(name ?? "job");
}

/** `1 text`, `2 texts`. */
export function counted(number: number, thing: string): string {
  return `${count(number)} ${thing}${number === 1 ? "" : "s"}`;
}

export function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function shape(value: object | null | undefined): string {
  if (value == null) return NONE;
  const { layers, hidden, ...others } = value as Record<string, number | null>;
  if (layers != null && hidden != null) return `${layers} × ${hidden}`;
  return Object.entries({ layers, hidden, ...others })
    .filter(([, size]) => size != null)
    .map(([name, size]) => `${words(name)} ${count(size)}`)
    .join(", ");
}

export function target(value: object | null | undefined): string {
  if (value == null) return "same size";
  return Object.entries(value)
    .filter(([, size]) => size != null)
    .map(([name, size]) => (typeof size === "object" ? shape(size) : `${words(name)} ${count(size as number)}`))
    .join(", ");
}
