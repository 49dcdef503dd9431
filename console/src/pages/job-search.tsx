import { Link } from "wouter";

import type { Job } from "../api/types";
import { Empty, Section } from "../components/layout";
import { Plot, type Series } from "../components/plot";
import { Badge } from "../components/status";
import { Table } from "../components/table";
import { bytes, metric, ms, percent, short, words } from "../format";

type Search = NonNullable<Job["search"]>;
type Measurement = NonNullable<Search["trials"][number]["measurements"]>[number];

/** Quality of the trials' students against what the search minimises, and the line of those that no other beats in both. */
function Front({ search }: { search: Search }) {
  const minimized = search.goals.minimize ?? "size";
  const cost = ({ size_mb, latency_ms, parameters }: Measurement) =>
    minimized === "size" ? size_mb : minimized === "latency" ? latency_ms : parameters / 1e6;
  const place = (measurement: Measurement): [number, number] => [cost(measurement) ?? 0, measurement.quality];
  const shown = search.trials.flatMap(({ number, measurements }) =>
    (measurements ?? []).filter((one) => cost(one) !== null).map((one) => ({ number, measurement: one })),
  );
  if (shown.length < 2) return null;
  const front = (search.front ?? [])
    .map(({ trial, precision }) => shown.find((one) => one.number === trial && one.measurement.precision === precision))
    .filter((one) => one !== undefined)
    .map(({ measurement }) => place(measurement))
    .sort(([a], [b]) => a - b);
  const points = shown.map(({ number, measurement }): Series => ({
    name: `trial ${number}, ${measurement.precision}`,
    kind: "points",
    color: measurement.precision === "int8" ? 0 : 1,
    points: [place(measurement)],
    labels: [String(number)],
  }));
  const unit = { size: "size, MB", latency: "latency, ms", parameters: "parameters, millions" }[minimized];
  return (
    <>
      <Plot title={`Quality against ${unit}`} x={{ name: unit }} y={{ name: "quality on dev" }} series={[...points, { name: "Pareto line", kind: "steps", color: 5, points: front }]} />
      <ul className="legend" aria-label="Colours">
        {["int8", "fp32"].map((precision, index) => (
          <li key={precision}>
            <i className={`series-${index}`} aria-hidden="true" /> {precision}
          </li>
        ))}
      </ul>
    </>
  );
}

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
      <Front search={search} />
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
                  <Link href={`/jobs/${trial.job}`}>{trial.number}</Link>{" "}
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
