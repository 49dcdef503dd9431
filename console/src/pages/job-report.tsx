import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";

import { download } from "../api/client";
import { isLive, reportQuery } from "../api/queries";
import type { Job, Report, Split } from "../api/types";
import { COMPARED, GateResult } from "../components/gate-result";
import { Empty, Facts, Section, Tiles } from "../components/layout";
import { Plot } from "../components/plot";
import { Loaded } from "../components/state";
import { Table } from "../components/table";
import { capitalized, count, counted, metric, ms, NONE, percent, short, significant, words } from "../format";
import { Confusion } from "./report-confusion";

type Compared = Split["models"][number];

const RELIABLE = ["teacher", "student", "onnx_int8"];
const FORMS: [name: string, accept: string, extension: string][] = [
  ["HTML", "text/html", "html"],
  ["Markdown", "text/markdown", "md"],
  ["JSON", "application/json", "json"],
];

export function JobReport({ job }: { job: Job }) {
  const report = useQuery({ ...reportQuery(job.id), enabled: job.status === "succeeded" });
  if (job.status !== "succeeded") {
    return <Empty>{isLive(job) ? "The report is there once the job has succeeded." : `A job that ${job.status === "failed" ? "failed" : "was cancelled"} has no report.`}</Empty>;
  }
  return <Loaded query={report}>{(data) => <ReportView report={data} />}</Loaded>;
}

function ReportView({ report }: { report: Report }) {
  const { comparison, metrics } = report;
  const splits = Object.keys(comparison?.splits ?? {});
  const [chosen, choose] = useState<string | null>(null);
  const name = chosen ?? (splits.includes("test") ? "test" : splits[0]);
  const split = name === undefined ? undefined : comparison?.splits[name];
  return (
    <>
      {report.warnings.map((warning) => (
        <p key={warning} className="warning">
          {warning}
        </p>
      ))}
      <Headline report={report} />
      {report.gate && (
        <Section title="Publish gate">
          <GateResult gate={report.gate} />
        </Section>
      )}
      {comparison && split && name !== undefined ? (
        <>
          {splits.length > 1 && (
            <div className="filters" role="group" aria-label="Split">
              {splits.map((one) => (
                <button key={one} className="chip" aria-pressed={one === name} onClick={() => choose(one)}>
                  {one}
                </button>
              ))}
            </div>
          )}
          <Section
            title={`Models on ${name}`}
            note={`${capitalized(words(comparison.metric))} on ${counted(split.rows, "row")} with ${percent(comparison.level)} bootstrap intervals.${
              split.labelled_by_teacher ? " The teacher's choices stand for labels." : ""
            }`}
          >
            <ModelTable split={split} />
          </Section>
          <Latencies comparison={comparison} />
          <Calibration split={split} name={name} />
          {split.classes.length > 0 && <Classes split={split} />}
          {split.confusion && <Confusion confusion={split.confusion} />}
          {split.disagreements.length > 0 && (
            <p className="more">
              <Link href={`/disagreements?job=${report.job}&split=${name}`}>
                {counted(split.disagreements.length, "text")} that teacher and student answer differently
              </Link>
            </p>
          )}
          <Made comparison={comparison} />
        </>
      ) : (
        <Section title="Quality">
          <Facts facts={Object.entries(metrics.student.quality).map(([name, values]) => [name, qualities(values)])} />
        </Section>
      )}
      <p className="filters">
        Download:
        {FORMS.map(([name, accept, extension]) => (
          <button
            key={name}
            className="small"
            onClick={() => void download(`/v1/jobs/${report.job}/report`, `report-${report.job}.${extension}`, accept)}
          >
            {name}
          </button>
        ))}
      </p>
    </>
  );
}

function qualities(values: Record<string, number>): string {
  return Object.entries(values)
    .map(([name, value]) => `${words(name)} ${metric(value)}`)
    .join(", ");
}

function Headline({ report: { metrics } }: { report: Report }) {
  const { ratios, student } = metrics;
  const int8 = student.exports["int8"] ?? student.exports["fp32"];
  const quality = student.quality["dev"]?.[metrics.metric];
  return (
    <Tiles
      tiles={[
        ["Parameters", short(student.total_parameters), ratios && `${significant(ratios.parameters)} times fewer`],
        [`Dev ${words(metrics.metric)}`, metric(quality), ratios?.quality["dev"] != null && `${percent(ratios.quality["dev"], 1)} of the teacher's`],
        ["Size", int8 ? `${significant(int8.size_bytes / 1e6)} MB` : NONE, student.exports["int8"] ? "int8" : "fp32"],
        ["Latency", ms(int8?.latency_ms?.["1"]), "of one text"],
      ]}
    />
  );
}

function ModelTable({ split }: { split: Split }) {
  return (
    <Table<Compared>
      caption="Models"
      rows={split.models}
      keyOf={(model) => model.name}
      columns={[
        { name: "Model", cell: (model) => COMPARED[model.name] ?? model.name },
        { name: "Quality", cell: (model) => <Interval model={model} models={split.models} /> },
        { name: "Retained", number: true, cell: (model) => percent(model.beside_teacher?.retained?.value, 1) },
        { name: "Difference", number: true, cell: (model) => signed(model.beside_teacher?.difference.value) },
        { name: "p", number: true, cell: (model) => significant(model.beside_teacher?.p_value, 2) },
        { name: "Agreement", number: true, cell: (model) => percent(model.agreement, 1) },
        { name: "ECE", number: true, cell: (model) => (model.calibration ? model.calibration.expected_error.toFixed(3) : NONE) },
        { name: "Rows", number: true, cell: (model) => count(model.rows) },
      ]}
    />
  );
}

function signed(value: number | null | undefined): string {
  return value == null ? NONE : `${value > 0 ? "+" : ""}${value.toFixed(4)}`;
}

/** The value with its interval on the scale of all models. */
function Interval({ model, models }: { model: Compared; models: Compared[] }) {
  const ends = models.flatMap(({ quality }) => [quality.value, quality.low ?? quality.value, quality.high ?? quality.value]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const place = (value: number) => 3 + ((value - low) / (high - low || 1)) * 114;
  const { value, low: from, high: to } = model.quality;
  return (
    <span className="interval">
      <span>{metric(value)}</span>
      <svg viewBox="0 0 120 14" width="120" height="14" aria-hidden="true">
        {from != null && to != null && <line x1={place(from)} x2={place(to)} y1="7" y2="7" />}
        <circle cx={place(value)} cy="7" r="3" />
      </svg>
      <small>{from != null && to != null ? `${from.toFixed(3)} to ${to.toFixed(3)}` : ""}</small>
    </span>
  );
}

function Latencies({ comparison }: { comparison: NonNullable<Report["comparison"]> }) {
  if (comparison.latencies.length === 0) return null;
  return (
    <Section title="Latency" note="Milliseconds of a run, on the worker that trained the student.">
      <Table
        caption="Latency"
        rows={comparison.latencies}
        keyOf={(_, index) => String(index)}
        columns={[
          { name: "Model", cell: (row) => `${row.model}, ${row.precision}` },
          { name: "Batch", number: true, cell: (row) => row.batch_size },
          { name: "Median", number: true, cell: (row) => significant(row.median_ms), order: (row) => row.median_ms },
          { name: "10 %", number: true, cell: (row) => significant(row.p10_ms) },
          { name: "90 %", number: true, cell: (row) => significant(row.p90_ms) },
          { name: "Threads", number: true, cell: (row) => row.threads },
          { name: "Runs", number: true, cell: (row) => row.runs },
        ]}
      />
    </Section>
  );
}

function Calibration({ split, name }: { split: Split; name: string }) {
  const series = split.models
    .filter((model) => RELIABLE.includes(model.name) && model.calibration)
    .map((model) => ({
      name: COMPARED[model.name] ?? model.name,
      points: model.calibration!.points.map(({ confidence, accuracy }) => [confidence, accuracy] as [number, number]),
    }));
  if (!series.some(({ points }) => points.length > 1)) return null;
  return (
    <Section title="Calibration" note="How often answers of a probability are right; on the dashed line as often as they say.">
      <Plot
        title={`Reliability on ${name}`}
        x={{ name: "probability", range: [0, 1] }}
        y={{ name: "share that is right", range: [0, 1.04] }}
        series={[...series, { name: "as often as they say", kind: "dashed", color: 5, points: [[0, 0], [1, 1]] }]}
      />
    </Section>
  );
}

function Classes({ split }: { split: Split }) {
  const delta = (value: number | null | undefined) => (value == null ? "" : ` (${signed(value)})`);
  return (
    <Section title="Classes" note="Of the student; in brackets minus the teacher's.">
      <Table
        caption="Classes"
        rows={split.classes}
        keyOf={({ label }) => label}
        columns={[
          { name: "Label", cell: ({ label }) => label, order: ({ label }) => label },
          { name: "Rows", number: true, cell: ({ rows }) => count(rows), order: ({ rows }) => rows },
          { name: "Precision", number: true, cell: (row) => `${row.precision.toFixed(3)}${delta(row.precision_delta)}`, order: (row) => row.precision },
          { name: "Recall", number: true, cell: (row) => `${row.recall.toFixed(3)}${delta(row.recall_delta)}`, order: (row) => row.recall },
        ]}
      />
    </Section>
  );
}

/** What the numbers were made with. */
function Made({ comparison }: { comparison: NonNullable<Report["comparison"]> }) {
  const { environment, controls } = comparison;
  return (
    <Section title="Measured with">
      <Facts
        facts={[
          ["Processor", environment.processor],
          ["Cores", environment.cores],
          ["Trained on", environment.device],
          ["System", environment.system],
          ["Bootstrap", `${count(comparison.resamples)} resamples, seed ${comparison.seed}`],
          ["Versions", Object.entries(environment.versions).map(([name, version]) => `${name} ${version}`).join(", ")],
          ...(controls ?? []).map((control) => [COMPARED[control.name] ?? control.name, control.about] as [string, string]),
        ]}
      />
    </Section>
  );
}
