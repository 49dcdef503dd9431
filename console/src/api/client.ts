import createClient from "openapi-fetch";

import { authorization } from "./key";
import { problemOf } from "./problem";
import type { paths } from "./schema";

/** Calls of the API by path, with the types of its description. Answers other than 2xx are thrown. */
export const api = createClient<paths>({ baseUrl: location.origin });

api.use({
  onRequest({ request }) {
    for (const [name, value] of Object.entries(authorization())) request.headers.set(name, value);
    return request;
  },
  async onResponse({ response }) {
    if (!response.ok) throw problemOf(response.status, await response.json().catch(() => null));
  },
});

/** What a call answered: with errors thrown, there is always something. */
export async function answer<T>(call: Promise<{ data?: T }>): Promise<T> {
  return (await call).data as T;
}

/** Creates once, however often the request is sent. */
export function idempotencyKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A file of the API, with the key that a plain link would not send. */
export async function download(path: string, filename: string, accept?: string): Promise<void> {
  const headers: Record<string, string> = { ...authorization(), ...(accept ? { Accept: accept } : {}) };
  // Without headers the browser saves a large file as it comes.
  if (Object.keys(headers).length === 0) return save(path, filename);
  const response = await fetch(path, { headers });
  if (!response.ok) throw problemOf(response.status, await response.json().catch(() => null));
  const url = URL.createObjectURL(await response.blob());
  save(url, filename);
  URL.revokeObjectURL(url);
}

function save(url: string, filename: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = filename;
  link.click();
}
