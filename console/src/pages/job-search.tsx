import { Link } from "wouter";

import type { Job } from "../api/types";
import { Empty, Section } from "../components/layout";
import { Badge } from "../components/status";
import { Table } from "../components/table";
import { bytes, metric, ms, percent, short, words } from "../format";

type Search = NonNullable<Job["search"]>;

/** The trials of a search, and what it has found so far. */
export default function SearchView({ search }: { job: Job; search: Search }) {
  const best = search.best ?? search.closest;
  const rows = search.trials.map((trial) => ({ ...trial, shown: trial.measurements?.at(-1) }));
  return (
    <Section
      title="Trials"
      note={`${search.trials.length} runs of ${search.candidates} candidates, to keep ${percent(search.goals.retain, 1)} of the teacher's metric.`}
    >
      {search.unmet?.map((unmet) => (
        <p key={unmet.goal} className="warning">
          No student meets {words(unmet.goal)} {unmet.asked}; trial {unmet.trial} comes closest with {metric(unmet.closest)}.
        </p>
      ))}
      {rows.length === 0 ? (
        <Empty>No trial has begun.</Empty>
      ) : (
        <Table
          caption="Trials"
          rows={rows}
          keyOf={({ number }) => String(number)}
          columns={[
            {
              name: "Trial",
              cell: (trial) => (
                <>
                  <Link href={`/jobs/${trial.job}`}>{trial.number}</Link>
                  {best?.trial === trial.number && <Badge status="succeeded" text={search.best ? "best" : "closest"} />}
                </>
              ),
              order: ({ number }) => number,
            },
            { name: "Method", cell: ({ method }) => words(method.name) },
            { name: "Status", cell: ({ status }) => <Badge status={status ?? "running"} /> },
            { name: "Share", number: true, cell: ({ share }) => percent(share) },
            { name: "Parameters", number: true, cell: ({ shown }) => short(shown?.parameters), order: ({ shown }) => shown?.parameters },
            { name: "Size", number: true, cell: ({ shown }) => bytes(shown && shown.size_mb * 1e6), order: ({ shown }) => shown?.size_mb },
            { name: "Latency", number: true, cell: ({ shown }) => ms(shown?.latency_ms), order: ({ shown }) => shown?.latency_ms },
            { name: "Quality", number: true, cell: ({ shown }) => metric(shown?.quality), order: ({ shown }) => shown?.quality },
            { name: "Retained", number: true, cell: ({ shown }) => percent(shown?.retained, 1), order: ({ shown }) => shown?.retained },
          ]}
        />
      )}
    </Section>
  );
}
