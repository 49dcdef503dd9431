import { keepPreviousData, queryOptions, useInfiniteQuery } from "@tanstack/react-query";

import { answer, api } from "./client";
import { isReadable, type Job, type Report, type Status } from "./types";

/** What pages ask the API for. Lists are asked again while something in them goes on. */

const LIVE_MS = 1500;
const PAGE = 20;
const CHOICES = 100;

export function isLive(job: { status: string | null }): boolean {
  return job.status === "queued" || job.status === "running";
}

export const jobQuery = (id: string) =>
  queryOptions({
    queryKey: ["jobs", id],
    queryFn: () => answer(api.GET("/v1/jobs/{job_id}", { params: { path: { job_id: id } } })),
    refetchInterval: ({ state }) => (state.data && !isLive(state.data) ? false : LIVE_MS),
  });

export function useJobs(filter: { status?: Status; parent?: string }) {
  return useInfiniteQuery({
    queryKey: ["jobs", "list", filter],
    queryFn: ({ pageParam }) =>
      answer(api.GET("/v1/jobs", { params: { query: { limit: PAGE, after: pageParam, ...filter } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) =>
      state.data?.pages.some((page) => page.data.some(isLive)) ? LIVE_MS * 2 : LIVE_MS * 10,
  });
}

/** The newest jobs that succeeded: what there is to compare. */
export const finishedJobsQuery = queryOptions({
  queryKey: ["jobs", "finished"],
  queryFn: async (): Promise<Job[]> => {
    const query = { status: "succeeded" as const, limit: CHOICES };
    return (await answer(api.GET("/v1/jobs", { params: { query } }))).data.filter(isReadable);
  },
});

export const reportQuery = (id: string) =>
  queryOptions({
    queryKey: ["reports", id],
    queryFn: async () => {
      const call = api.GET("/v1/jobs/{job_id}/report", { params: { path: { job_id: id } } });
      return (await answer(call)) as Report; // without Accept it is JSON
    },
    staleTime: Infinity,
  });

export const modelsQuery = queryOptions({
  queryKey: ["models"],
  queryFn: async () => {
    const page = await answer(api.GET("/v1/models", { params: { query: { limit: CHOICES } } }));
    return { ...page, data: page.data.filter(isReadable) };
  },
  refetchInterval: ({ state }) =>
    state.data?.data.some((model) => model.status === "processing") ? LIVE_MS : false,
});

export const modelQuery = (id: string) =>
  queryOptions({
    queryKey: ["models", id],
    queryFn: () => answer(api.GET("/v1/models/{model_id}", { params: { path: { model_id: id } } })),
    refetchInterval: ({ state }) => (state.data?.status === "processing" ? LIVE_MS : false),
  });

export const datasetsQuery = queryOptions({
  queryKey: ["datasets"],
  queryFn: async () => {
    const page = await answer(api.GET("/v1/datasets", { params: { query: { limit: CHOICES } } }));
    return { ...page, data: page.data.filter(isReadable) };
  },
});

export const datasetQuery = (id: string) =>
  queryOptions({
    queryKey: ["datasets", id],
    queryFn: () => answer(api.GET("/v1/datasets/{dataset_id}", { params: { path: { dataset_id: id } } })),
  });

export const methodsQuery = queryOptions({
  queryKey: ["methods"],
  queryFn: async () => (await answer(api.GET("/v1/methods"))).data,
  staleTime: Infinity,
});

export const workersQuery = queryOptions({
  queryKey: ["workers"],
  queryFn: async () => (await answer(api.GET("/v1/workers"))).data.filter(isReadable),
  refetchInterval: LIVE_MS * 10,
});

/** The names that ids stand for, as far as they are known. */
export function nameOf(id: string, rows: { id: string; name: string }[] | undefined): string {
  return rows?.find((row) => row.id === id)?.name ?? id;
}
