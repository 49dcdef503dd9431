import { useQueries, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link, useSearchParams } from "wouter";

import { datasetsQuery, finishedJobsQuery, modelsQuery, nameOf, reportQuery } from "../api/queries";
import type { Job, ModelReport, Report } from "../api/types";
import { Choice } from "../components/choice";
import { Empty, Page, Section } from "../components/layout";
import { Plot, type Series } from "../components/plot";
import { Loaded } from "../components/state";
import { Badge } from "../components/status";
import { Table } from "../components/table";
import { bytes, capitalized, methodName, metric, ms, NONE, percent, short, words } from "../format";

/** A model beside others of the same data set. */
interface Row {
  id: string;
  /** By which the chart names it. */
  number: number;
  name: string;
  job: string | null;
  method: string;
  parameters: number;
  size: number | null;
  latency: number | null;
  quality: number | null;
  interval: [number, number] | null;
  retained: number | null;
  isBest: boolean;
}

const COSTS = { latency: "latency of one text, ms", size: "file size, MB", parameters: "parameters, millions" };
type Cost = keyof typeof COSTS;

export default function Compare() {
  const jobs = useQuery(finishedJobsQuery);
  return (
    <Page title="Compare models" lead="Models that were measured on the same data set.">
      <Loaded query={jobs}>{(data) => <Comparison jobs={data.filter(({ metrics }) => metrics.student)} />}</Loaded>
    </Page>
  );
}

function Comparison({ jobs }: { jobs: Job[] }) {
  const [search, setSearch] = useSearchParams();
  const models = useQuery(modelsQuery).data?.data;
  const datasets = useQuery(datasetsQuery).data?.data;
  const ids = [...new Set(jobs.map(({ dataset }) => dataset))];
  const counts = (id: string) => jobs.filter(({ dataset }) => dataset === id).length;
  const dataset = search.get("dataset") ?? [...ids].sort((a, b) => counts(b) - counts(a))[0];
  const cost = (Object.keys(COSTS) as Cost[]).find((one) => one === search.get("by")) ?? "latency";
  const precision = search.get("precision") ?? "int8";
  const chosen = jobs.filter((job) => job.dataset === dataset);
  const reports = useQueries({ queries: chosen.map(({ id }) => reportQuery(id)) });
  const known = reports.map(({ data }) => data);
  const rows = useMemo(
    () => marked(rowsOf(chosen, known, precision, (id) => nameOf(id, models)), cost),
    [chosen.map(({ id }) => id).join(), known.filter(Boolean).length, precision, cost, models],
  );
  const name = chosen[0]?.metrics.metric ?? "quality";
  const set = (field: string) => (value: string) =>
    setSearch((before) => {
      const after = new URLSearchParams(before);
      after.set(field, value);
      return after;
    });
  if (dataset === undefined) {
    return (
      <Empty>
        Nothing to compare yet. <Link href="/jobs/new">Start a job.</Link>
      </Empty>
    );
  }
  return (
    <>
      <div className="fields">
        <Choice label="Data set" value={dataset} onChange={set("dataset")} options={ids.map((id) => [id, nameOf(id, datasets)])} />
        <Choice label="Quality against" value={cost} onChange={set("by")} options={Object.entries(COSTS)} />
        <Choice label="Files" value={precision} onChange={set("precision")} options={[["int8", "ONNX int8"], ["fp32", "ONNX fp32"]]} />
      </div>
      <Section title={`${capitalized(words(name))} against ${COSTS[cost].split(",")[0]}`} note="No other model is both better and cheaper than those on the line. Numbers are those of the table.">
        <Front rows={rows} cost={cost} metricName={name} />
      </Section>
      <Section title="Models" note={`${capitalized(words(name))} on dev, of the ${precision} file where it was measured.`}>
        <Models rows={rows} />
      </Section>
    </>
  );
}

function rowsOf(jobs: Job[], reports: (Report | undefined)[], precision: string, nameFor: (id: string) => string): Row[] {
  const rows = new Map<string, Row>();
  jobs.forEach((job, index) => {
    const { metrics } = job;
    const compared = reports[index]?.comparison?.splits["dev"]?.models;
    const row = (id: string, report: ModelReport, kind: string[], made: Partial<Row>): Row => {
      const file = report.exports[precision];
      const measured = kind.map((one) => compared?.find((model) => model.name === one)).find((model) => model !== undefined);
      const { low, high } = measured?.quality ?? {};
      return {
        id,
        number: 0,
        name: nameFor(id),
        job: null,
        method: "",
        parameters: report.total_parameters,
        size: file?.size_bytes ?? null,
        latency: file?.latency_ms?.["1"] ?? null,
        quality: measured?.quality.value ?? file?.metric ?? report.quality["dev"]?.[metrics.metric ?? ""] ?? null,
        interval: low != null && high != null ? [low, high] : null,
        retained: measured?.beside_teacher?.retained?.value ?? null,
        isBest: false,
        ...made,
      };
    };
    if (job.student && metrics.student) {
      rows.set(job.student, row(job.student, metrics.student, [`onnx_${precision}`, "student"], { job: job.id, method: job.method.name }));
    }
    if (job.teacher && metrics.teacher && !rows.has(job.teacher)) {
      rows.set(job.teacher, row(job.teacher, metrics.teacher, ["teacher"], { method: "teacher" }));
    }
  });
  return [...rows.values()].map((row, index) => ({ ...row, number: index + 1 }));
}

function costOf(row: Row, cost: Cost): number | null {
  if (cost === "parameters") return row.parameters / 1e6;
  if (cost === "latency") return row.latency;
  return row.size === null ? null : row.size / 1e6;
}

/** With those marked that no other beats in both. */
function marked(rows: Row[], cost: Cost): Row[] {
  const measured = rows.filter((row) => row.quality !== null && costOf(row, cost) !== null);
  const beats = (one: Row, other: Row) => {
    const [a, b] = [costOf(one, cost)!, costOf(other, cost)!];
    return one.quality! >= other.quality! && a <= b && (one.quality! > other.quality! || a < b);
  };
  return rows.map((row) => ({ ...row, isBest: measured.includes(row) && !measured.some((other) => beats(other, row)) }));
}

function Front({ rows, cost, metricName }: { rows: Row[]; cost: Cost; metricName: string }) {
  const measured = rows.filter((row) => row.quality !== null && costOf(row, cost) !== null);
  const methods = [...new Set(rows.map(({ method }) => method))];
  const series = measured.map((row): Series => ({
    name: row.name,
    kind: "points",
    color: methods.indexOf(row.method),
    points: [[costOf(row, cost)!, row.quality!]],
    labels: [String(row.number)],
  }));
  const best = measured.filter(({ isBest }) => isBest).sort((a, b) => costOf(a, cost)! - costOf(b, cost)!);
  if (measured.length === 0) return <Empty>None of these models was measured so.</Empty>;
  return (
    <>
      <Plot
        title={`${capitalized(words(metricName))} against ${COSTS[cost]}`}
        x={{ name: COSTS[cost] }}
        y={{ name: words(metricName) }}
        series={[...series, { name: "Pareto line", kind: "steps", color: 5, points: best.map((row) => [costOf(row, cost)!, row.quality!]) }]}
      />
      <ul className="legend" aria-label="Colours">
        {methods.map((method, index) => (
          <li key={method}>
            <i className={`series-${index % 6}`} aria-hidden="true" /> {methodName(method)}
          </li>
        ))}
      </ul>
    </>
  );
}

function Models({ rows }: { rows: Row[] }) {
  return (
    <Table
      caption="Models"
      rows={rows}
      keyOf={({ id }) => id}
      columns={[
        { name: "Point", cell: ({ number }) => number, order: ({ number }) => number },
        {
          name: "Model",
          cell: ({ id, name, isBest }) => (
            <>
              <Link href={`/models/${id}`}>{name}</Link> {isBest && <Badge status="succeeded" text="on the line" />}
            </>
          ),
          order: ({ name }) => name,
        },
        { name: "Method", cell: ({ job, method }) => (job ? <Link href={`/jobs/${job}/report`}>{methodName(method)}</Link> : methodName(method)), order: ({ method }) => method },
        {
          name: "Quality",
          number: true,
          cell: ({ quality, interval }) => (
            <>
              {metric(quality)}
              <small>{interval ? `${interval[0].toFixed(3)} to ${interval[1].toFixed(3)}` : NONE}</small>
            </>
          ),
          order: ({ quality }) => quality,
        },
        { name: "Retained", number: true, cell: ({ retained }) => percent(retained, 1), order: ({ retained }) => retained },
        { name: "Parameters", number: true, cell: ({ parameters }) => short(parameters), order: ({ parameters }) => parameters },
        { name: "Size", number: true, cell: ({ size }) => bytes(size), order: ({ size }) => size },
        { name: "Latency", number: true, cell: ({ latency }) => ms(latency), order: ({ latency }) => latency },
      ]}
    />
  );
}
