import type { Fault } from "./types";

/** An error of the API (RFC 9457), or that it could not be reached. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly faults: Fault[] = [],
    readonly requestId: string | null = null,
  ) {
    super(detail);
  }

  get needsKey(): boolean {
    return this.status === 401;
  }
}

export function problemOf(status: number, body: unknown): Problem {
  if (typeof body !== "object" || body === null || !("detail" in body)) {
    return new Problem(status, "unknown", `The API answered with status ${status}.`);
  }
  const { type = "", detail, errors = [], request_id = null } = body as {
    type?: string;
    detail: unknown;
    errors?: Fault[];
    request_id?: string | null;
  };
  return new Problem(status, type.split(":").at(-1) ?? "", String(detail), errors, request_id);
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new Problem(0, "not_reachable", `The API cannot be reached: ${reason}.`);
}
