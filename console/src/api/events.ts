import { type QueryClient, queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { createParser } from "eventsource-parser";
import { useEffect } from "react";

import { answer, api } from "./client";
import { authorization } from "./key";
import { isLive } from "./queries";
import type { Job, JobEvent } from "./types";

/** A job's history: what has happened page by page, and then what happens as a stream. */

const PAGE = 100;
const RETRY_MS = 3000;

const keyOf = (id: string) => ["events", id];

function eventsQuery(client: QueryClient, id: string) {
  return queryOptions({
    queryKey: keyOf(id),
    queryFn: async ({ signal }) => {
      let events = client.getQueryData<JobEvent[]>(keyOf(id)) ?? [];
      for (let more = true; more; ) {
        const params = { path: { job_id: id }, query: { after: events.at(-1)?.id ?? 0, limit: PAGE } };
        const page = await answer(api.GET("/v1/jobs/{job_id}/events", { params, signal }));
        events = joined(events, page.data);
        more = page.has_more;
      }
      return joined(client.getQueryData<JobEvent[]>(keyOf(id)) ?? [], events);
    },
  });
}

/** Polled, for the rows of a list: a stream for each would take all connections of a browser. */
export function useEvents(job: { id: string; status: string | null }): JobEvent[] {
  const options = eventsQuery(useQueryClient(), job.id);
  const { data } = useQuery({
    ...options,
    staleTime: isLive(job) ? 0 : Infinity,
    refetchInterval: job.status === "running" ? RETRY_MS : false,
  });
  return data ?? [];
}

/** Live: the page of one job follows its stream, to the end: the job itself may be known to have ended before. */
export function useEventStream(id: string): JobEvent[] {
  const client = useQueryClient();
  const { data, isSuccess } = useQuery({ ...eventsQuery(client, id), staleTime: Infinity });
  useEffect(() => {
    if (!isSuccess || client.getQueryData<JobEvent[]>(keyOf(id))?.some(isEnd)) return;
    const ending = new AbortController();
    void follow(client, id, ending.signal);
    return () => ending.abort();
  }, [client, id, isSuccess]);
  return data ?? [];
}

function isEnd({ kind, error, data }: JobEvent): boolean {
  return kind === "status" && !error && !isLive(data as Pick<Job, "status">);
}

async function follow(client: QueryClient, id: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      if (await read(client, id, signal)) {
        // Its student is new, too.
        await Promise.all(["jobs", "models"].map((name) => client.invalidateQueries({ queryKey: [name] })));
        return;
      }
    } catch {
      // A connection that broke off is opened again; the job's own query says what is wrong, if anything.
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Adds what comes to what there is; whether the job has ended. */
async function read(client: QueryClient, id: string, signal: AbortSignal): Promise<boolean> {
  const after = client.getQueryData<JobEvent[]>(keyOf(id))?.at(-1)?.id ?? 0;
  // Not an EventSource, which sends no key.
  const response = await fetch(`/v1/jobs/${id}/events/stream?after=${after}`, { headers: authorization(), signal });
  if (!response.ok || response.body === null) throw new Error(String(response.status));
  let isDone = false;
  const parser = createParser({
    onEvent({ event, data }) {
      if (event === "done") isDone = true;
      else client.setQueryData<JobEvent[]>(keyOf(id), (past) => joined(past ?? [], [JSON.parse(data) as JobEvent]));
    },
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) parser.feed(part.value);
  return isDone;
}

function joined(past: JobEvent[], coming: JobEvent[]): JobEvent[] {
  const last = past.at(-1)?.id ?? 0;
  return [...past, ...coming.filter((event) => event.id > last)];
}

export interface Curve {
  stage: string;
  name: string;
  points: [step: number, value: number][];
}

/** The values of `metrics` events by stage and name. */
export function curvesOf(events: JobEvent[]): Curve[] {
  const curves = new Map<string, Curve>();
  for (const event of events) {
    if (event.kind !== "metrics" || event.error) continue;
    const { stage, step, values } = event.data as { stage: string; step: number; values: Record<string, number> };
    for (const [name, value] of Object.entries(values)) {
      const key = `${stage} ${name}`;
      const curve = curves.get(key) ?? { stage, name, points: [] };
      // An attempt that went on from a checkpoint measures some steps again.
      while ((curve.points.at(-1)?.[0] ?? -1) >= step) curve.points.pop();
      curve.points.push([step, value]);
      curves.set(key, curve);
    }
  }
  return [...curves.values()].filter((curve) => curve.points.length > 1);
}
