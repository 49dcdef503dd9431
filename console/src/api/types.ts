import type { components } from "./schema";

type Schemas = components["schemas"];

export type Job = Schemas["JobRead"];
export type JobEvent = Schemas["EventRead"];
export type Model = Schemas["ModelRead"];
export type Dataset = Schemas["DatasetRead"];
export type DatasetCheck = Schemas["DatasetCheck"];
export type Method = Schemas["MethodRead"];
export type Plan = Schemas["PlanRead"];
export type SearchPlan = Schemas["SearchPlanRead"];
export type Report = Schemas["ReportRead"];
export type Split = Schemas["SplitComparison"];
export type Disagreement = Schemas["Disagreement"];
export type ModelReport = Schemas["ModelReport"];
export type Worker = Schemas["WorkerRead"];
export type Key = Schemas["KeyRead"];
export type Project = Schemas["ProjectWithUsage"];
export type Unreadable = Schemas["UnreadableRow"];
export type Fault = Schemas["Fault"];
export type Status = Schemas["JobStatus"];

/** Rows that an older or newer version of the service wrote come without their content. */
export function isReadable<T extends { object: string }>(row: T | Unreadable): row is T {
  return row.object !== "unreadable";
}

