import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { Link } from "wouter";

import { answer, api } from "../api/client";
import { curvesOf, useEventStream } from "../api/events";
import { datasetsQuery, isLive, jobQuery, modelsQuery, nameOf } from "../api/queries";
import type { Job, JobEvent } from "../api/types";
import { Empty, Facts, Page, Section } from "../components/layout";
import { Loaded, Loading, ProblemBox } from "../components/state";
import { JobProgress, JobStatusBadge } from "../components/status";
import { capitalized, clock, duration, methodName, moment, NONE, target, words } from "../format";
import { Curves } from "./job-curves";
import { JobPlan } from "./job-plan";
import { JobReport } from "./job-report";

const Search = lazy(() => import("./job-search"));

const PARTS: [path: string, name: string][] = [
  ["", "Summary"],
  ["report", "Report"],
  ["plan", "Plan"],
  ["log", "Log"],
];

export default function JobPage({ params }: { params: { id: string; part?: string } }) {
  const job = useQuery(jobQuery(params.id));
  return <Loaded query={job} title="Job">{(data) => <JobView job={data} part={params.part ?? ""} />}</Loaded>;
}

function JobView({ job, part }: { job: Job; part: string }) {
  const events = useEventStream(job.id);
  return (
    <Page
      title={capitalized(methodName(job.method.name))}
      lead={
        <>
          <JobStatusBadge job={job} /> <code>{job.id}</code>
        </>
      }
      actions={<Actions job={job} />}
    >
      <nav className="tabs" aria-label="Parts of the job">
        {PARTS.map(([path, name]) => (
          <Link key={path} href={`/jobs/${job.id}${path && "/"}${path}`} aria-current={path === part ? "page" : undefined}>
            {name}
          </Link>
        ))}
        {job.student && <Link href={`/disagreements?job=${job.id}`}>Disagreements</Link>}
      </nav>
      {part === "report" ? (
        <JobReport job={job} />
      ) : part === "plan" ? (
        <JobPlan job={job} />
      ) : part === "log" ? (
        <Log events={events} />
      ) : (
        <Summary job={job} events={events} />
      )}
    </Page>
  );
}

function Actions({ job }: { job: Job }) {
  const client = useQueryClient();
  const cancel = useMutation({
    mutationFn: (keep: boolean) =>
      answer(api.POST("/v1/jobs/{job_id}/cancel", { params: { path: { job_id: job.id }, query: keep ? { keep } : {} } })),
    onSettled: () => client.invalidateQueries({ queryKey: ["jobs"] }),
  });
  const isCancelling = cancel.isPending || job.cancel_requested_at !== null;
  return (
    <>
      {isLive(job) && job.search && (
        <button onClick={() => cancel.mutate(true)} disabled={isCancelling}>
          Stop and keep the best
        </button>
      )}
      {isLive(job) && (
        <button onClick={() => cancel.mutate(false)} disabled={isCancelling}>
          Cancel job
        </button>
      )}
      {job.student && (
        <Link className="button primary" href={`/playground?left=${job.student}${job.teacher ? `&right=${job.teacher}` : ""}`}>
          Try the student
        </Link>
      )}
      {cancel.isError && <ProblemBox error={cancel.error} />}
    </>
  );
}

function Summary({ job, events }: { job: Job; events: JobEvent[] }) {
  const models = useQuery(modelsQuery).data?.data;
  const datasets = useQuery(datasetsQuery).data?.data;
  const model = (id: string | null) => (id ? <Link href={`/models/${id}`}>{nameOf(id, models)}</Link> : NONE);
  const failure = job.error ?? job.retry;
  return (
    <>
      {failure && (
        <div className="problem" role="alert">
          <p>{failure.message}</p>
          <p className="fine">
            <code>{failure.code}</code>
            {job.retry && ` · it is tried again at ${clock(job.retry.at)}`}
          </p>
        </div>
      )}
      {isLive(job) && (
        <Section title="Progress">
          <JobProgress job={job} />
        </Section>
      )}
      {job.search && (
        <Suspense fallback={<Loading />}>
          <Search job={job} search={job.search} />
        </Suspense>
      )}
      {job.method.name !== "auto" && <Curves curves={curvesOf(events)} isLive={isLive(job)} />}
      <Section title="Request">
        <Facts
          facts={[
            ["Teacher", model(job.teacher)],
            ["Data set", <Link href={`/datasets/${job.dataset}`}>{nameOf(job.dataset, datasets)}</Link>],
            ["Student", model(job.student)],
            ["Target", job.search ? "chosen by the search" : target(job.target)],
            ["Exports", job.exports.join(", ")],
            ["Queue", job.queue],
            ["Created", moment(job.created_at)],
            ["Started", moment(job.started_at)],
            ["Finished", moment(job.finished_at)],
            ["Ran for", duration(job.running_s)],
            ["Attempt", job.attempt],
            ...(job.parent ? [["Search", <Link href={`/jobs/${job.parent}`}>{job.parent}</Link>] as [string, React.ReactNode]] : []),
          ]}
        />
        <details>
          <summary>Method and training as sent</summary>
          <pre tabIndex={0}>{JSON.stringify({ method: job.method, training: job.training, gate: job.gate }, null, 2)}</pre>
        </details>
      </Section>
    </>
  );
}

/** What has happened, newest last; values measured at steps are in the curves. */
function Log({ events }: { events: JobEvent[] }) {
  const told = events.filter((event) => event.kind !== "metrics");
  return (
    <Section title="Log" note={`${events.length} events, of which ${events.length - told.length} are measurements.`}>
      {told.length === 0 ? (
        <Empty>Nothing has happened yet.</Empty>
      ) : (
        <ol className="log">
          {told.map((event) => (
            <li key={event.id} className={event.data["level"] === "warning" ? "is-warning" : undefined}>
              <time dateTime={event.created_at}>{clock(event.created_at)}</time>
              <span>{sentence(event)}</span>
            </li>
          ))}
        </ol>
      )}
    </Section>
  );
}

function sentence({ kind, data, error }: JobEvent): string {
  if (error) return error.message;
  const { text, status, attempt, reason, message, trial, happened, retained } = data as Record<string, string | number | undefined>;
  if (kind === "message") return String(text);
  if (kind === "status") {
    const failure = data["error"] as { message: string } | undefined;
    const why = message ?? failure?.message ?? (reason && words(String(reason)));
    return `${status}, attempt ${attempt}${why ? `: ${why}` : ""}`;
  }
  if (kind === "trial") return `trial ${trial} ${happened}${retained ? `, keeps ${(Number(retained) * 100).toFixed(1)} %` : ""}`;
  return `${kind} ${JSON.stringify(data)}`;
}
