import { readKey } from "./api/key";

/** The same request from elsewhere: what curl and the Python client are given. */

export function origin(): string {
  return location.origin;
}

/** The header with the key, which is not written out. */
export function authorized(): string {
  return readKey() === null ? "" : '-H "Authorization: Bearer $SQUEEZE_API_KEY" ';
}

/** As one argument of a shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function python(...lines: string[]): string {
  return [
    "from squeeze_client import Squeeze",
    "",
    `with Squeeze("${origin()}") as squeeze:`,
    ...lines.flatMap((line) => line.split("\n")).map((line) => `    ${line}`),
  ].join("\n");
}

/** A value as Python writes it. */
export function literal(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}
