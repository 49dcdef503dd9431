import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";

import { curvesOf, useEvents } from "../api/events";
import { datasetsQuery, modelsQuery, nameOf, useJobs } from "../api/queries";
import { isReadable, type Job, type Status, type Unreadable } from "../api/types";
import { Empty, Page, Section } from "../components/layout";
import { Sparkline } from "../components/sparkline";
import { Failed, Loading } from "../components/state";
import { Badge, JobProgress, JobStatusBadge } from "../components/status";
import { Table } from "../components/table";
import { capitalized, counted, methodName, metric, moment, NONE, target, words } from "../format";

const STATUSES: Status[] = ["queued", "running", "succeeded", "failed", "cancelled"];

export default function Jobs() {
  const [search, setSearch] = useSearchParams();
  const status = STATUSES.find((one) => one === search.get("status"));
  const jobs = useJobs({ status });
  const rows = jobs.data?.pages.flatMap((page) => page.data);
  return (
    <Page
      title="Jobs"
      actions={
        <Link className="button primary" href="/jobs/new">
          New job
        </Link>
      }
    >
      <div className="filters" role="group" aria-label="Status">
        {[undefined, ...STATUSES].map((one) => (
          <button
            key={one ?? "all"}
            className="chip"
            aria-pressed={one === status}
            onClick={() => setSearch(one ? { status: one } : {})}
          >
            {one ?? "all"}
          </button>
        ))}
      </div>
      {jobs.isError && !rows ? (
        <Failed error={jobs.error} />
      ) : rows === undefined ? (
        <Loading />
      ) : (
        <Section title={status ? `Jobs that are ${status}` : "All jobs"}>
          <JobTable jobs={rows.filter(isReadable)} />
          <UnreadableRows rows={rows.filter((row): row is Unreadable => !isReadable(row))} />
          {jobs.hasNextPage && (
            <p className="more">
              <button onClick={() => void jobs.fetchNextPage()} disabled={jobs.isFetchingNextPage}>
                Earlier jobs
              </button>
            </p>
          )}
        </Section>
      )}
    </Page>
  );
}

export function JobTable({ jobs }: { jobs: Job[] }) {
  const models = useQuery(modelsQuery);
  const datasets = useQuery(datasetsQuery);
  if (jobs.length === 0) {
    return (
      <Empty>
        No jobs. <Link href="/jobs/new">Start one.</Link>
      </Empty>
    );
  }
  return (
    <Table
      caption="Jobs"
      rows={jobs}
      keyOf={(job) => job.id}
      columns={[
        {
          name: "Job",
          cell: (job) => (
            <>
              <Link href={`/jobs/${job.id}`}>{capitalized(methodName(job.method.name))}</Link>
              <small>{job.method.name === "auto" ? counted(job.search?.trials.length ?? 0, "trial") : target(job.target)}</small>
            </>
          ),
        },
        {
          name: "Teacher and data",
          cell: (job) => (
            <>
              {job.teacher ? nameOf(job.teacher, models.data?.data) : "no teacher"}
              <small>{nameOf(job.dataset, datasets.data?.data)}</small>
            </>
          ),
        },
        { name: "Status", cell: (job) => <JobStatusBadge job={job} /> },
        { name: "Progress", cell: (job) => <JobProgress job={job} /> },
        { name: "Training", cell: (job) => <JobSparkline job={job} /> },
        { name: "Dev", number: true, cell: (job) => <DevQuality job={job} /> },
        { name: "Created", number: true, cell: (job) => moment(job.created_at) },
      ]}
    />
  );
}

/** Quality on dev where it was measured more than once, else the loss. */
function JobSparkline({ job }: { job: Job }) {
  const curves = curvesOf(useEvents(job));
  return <Sparkline curve={curves.find(({ name }) => name === "dev_quality") ?? curves.find(({ name }) => name === "loss")} />;
}

function DevQuality({ job }: { job: Job }) {
  const { metrics } = job;
  const value = metrics.metric ? metrics.student?.quality.dev?.[metrics.metric] : undefined;
  if (value === undefined) return <>{NONE}</>;
  return (
    <>
      {metric(value)}
      <small>{words(metrics.metric!)}</small>
    </>
  );
}

export function UnreadableRows({ rows }: { rows: Unreadable[] }) {
  if (rows.length === 0) return null;
  return (
    <ul className="plain">
      {rows.map((row) => (
        <li key={row.id}>
          <Badge status="warning" text="unreadable" /> <code>{row.id}</code> {row.error.message}
        </li>
      ))}
    </ul>
  );
}
