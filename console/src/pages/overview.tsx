import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import { datasetsQuery, isLive, modelsQuery, useJobs, workersQuery } from "../api/queries";
import { isReadable } from "../api/types";
import { Empty, Page, Section, Tiles } from "../components/layout";
import { Failed } from "../components/state";
import { Badge } from "../components/status";
import { Table } from "../components/table";
import { moment, NONE } from "../format";
import { JobTable } from "./jobs";

export default function Overview() {
  const jobs = useJobs({});
  const models = useQuery(modelsQuery);
  const datasets = useQuery(datasetsQuery);
  const workers = useQuery(workersQuery);
  const newest = (jobs.data?.pages[0]?.data ?? []).filter(isReadable);
  const error = jobs.error ?? models.error ?? datasets.error;
  const count = (page: { data: unknown[]; has_more: boolean } | undefined) =>
    page ? `${page.data.length}${page.has_more ? "+" : ""}` : NONE;
  const alive = workers.data?.filter((worker) => worker.status === "alive");

  return (
    <Page
      title="Overview"
      actions={
        <>
          <Link className="button" href="/upload">
            Upload
          </Link>
          <Link className="button primary" href="/jobs/new">
            New job
          </Link>
        </>
      }
    >
      {error ? (
        <Failed error={error} />
      ) : (
        <>
          <Tiles
            tiles={[
              ["Running", newest.filter((job) => job.status === "running").length],
              ["Queued", newest.filter((job) => job.status === "queued").length],
              ["Models", count(models.data)],
              ["Data sets", count(datasets.data)],
              ["Workers", alive?.length ?? NONE],
            ]}
          />
          {alive?.length === 0 && newest.some(isLive) && (
            <p className="warning">No worker is there: jobs wait until one starts (squeeze worker).</p>
          )}
          {jobs.isSuccess && newest.length === 0 ? (
            <FirstSteps hasModels={!!models.data?.data.length} hasData={!!datasets.data?.data.length} />
          ) : (
            <Section title="Newest jobs">
              <JobTable jobs={newest.slice(0, 8)} />
              <p className="more">
                <Link href="/jobs">All jobs</Link>
              </p>
            </Section>
          )}
          <Section title="Workers">
            {workers.data?.length ? (
              <Table
                caption="Workers"
                keyOf={(worker) => worker.id}
                rows={workers.data}
                columns={[
                  { name: "Name", cell: (worker) => worker.name },
                  { name: "Status", cell: (worker) => <Badge status={worker.problem ? "warning" : worker.status} text={worker.problem ?? undefined} /> },
                  { name: "Devices", cell: (worker) => worker.devices.join(", ") },
                  { name: "Queues", cell: (worker) => worker.queues.join(", ") },
                  { name: "Job", cell: (worker) => (worker.job ? <Link href={`/jobs/${worker.job}`}>{worker.job}</Link> : NONE) },
                  { name: "Heard of", cell: (worker) => moment(worker.heartbeat_at) },
                ]}
              />
            ) : (
              <Empty>No worker has been heard of.</Empty>
            )}
          </Section>
        </>
      )}
    </Page>
  );
}

function FirstSteps({ hasModels, hasData }: { hasModels: boolean; hasData: boolean }) {
  const steps: [done: boolean, to: string, name: string, about: string][] = [
    [hasModels, "/upload/model", "Upload a model", "a Hugging Face folder or archive: the teacher, or the encoder to make one of"],
    [hasData, "/upload/dataset", "Upload a data set", "tables with train and dev rows"],
    [false, "/jobs/new", "Start a job", "choose a method and a size; the plan tells what comes of it"],
  ];
  return (
    <Section title="First steps">
      <ol className="steps">
        {steps.map(([done, to, name, about]) => (
          <li key={to} className={done ? "done" : undefined}>
            <Link href={to}>{name}</Link>{" "}
            {done && <Badge status="succeeded" text="done" />}
            <small>{about}</small>
          </li>
        ))}
      </ol>
    </Section>
  );
}
