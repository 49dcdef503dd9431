import { useState } from "react";

import type { Dataset, DatasetCheck } from "../api/types";
import { count, percent, significant, words } from "../format";
import { Bars } from "./bars";
import { Facts, Section } from "./layout";
import { Table } from "./table";

type Splits = NonNullable<Dataset["splits"]>;
type Summary = Splits[keyof Splits] & object;
type Reading = NonNullable<Dataset["reading"]>["splits"][string];

const MOST_LABELS = 30;

/** What tables were understood as: of a data set, and of files that are only looked at. */
export function DatasetView({ dataset }: { dataset: Dataset | DatasetCheck }) {
  const names = Object.keys(dataset.splits);
  const [chosen, choose] = useState("train");
  const name = names.includes(chosen) ? chosen : names[0]!;
  const summary = dataset.splits[name as keyof Splits] as Summary;
  const reading = dataset.reading?.splits[name];
  return (
    <>
      {dataset.reading?.warnings?.map((warning) => (
        <p key={warning} className="warning">
          {warning}
        </p>
      ))}
      <Section title="Splits">
        <Table
          caption="Splits"
          rows={Object.entries(dataset.splits as Record<string, Summary>)}
          keyOf={([split]) => split}
          columns={[
            { name: "Split", cell: ([split]) => split },
            { name: "Rows", number: true, cell: ([, { rows }]) => count(rows) },
            { name: "Words, median", number: true, cell: ([, { words }]) => count(words["p50"]) },
            { name: "Words, 95 %", number: true, cell: ([, { words }]) => count(words["p95"]) },
            { name: "Words, 99 %", number: true, cell: ([, { words }]) => count(words["p99"]) },
            { name: "Words, longest", number: true, cell: ([, { words }]) => count(words["max"]) },
          ]}
        />
      </Section>
      {names.length > 1 && (
        <div className="filters" role="group" aria-label="Split">
          {names.map((one) => (
            <button key={one} type="button" className="chip" aria-pressed={one === name} onClick={() => choose(one)}>
              {one}
            </button>
          ))}
        </div>
      )}
      <div className="columns">
        {summary.labels && <Labels labels={summary.labels} order={dataset.labels} />}
        {summary.scores && (
          <Section title="Scores">
            <Facts facts={Object.entries(summary.scores).map(([what, value]) => [what, significant(value, 4)])} />
          </Section>
        )}
        {reading && <HowRead reading={reading} summary={summary} />}
      </div>
      {reading && reading.first_rows.length > 0 && <Sample rows={reading.first_rows} />}
    </>
  );
}

/** How many rows each label has; of many labels the most frequent. */
function Labels({ labels, order }: { labels: Record<string, number>; order: string[] }) {
  const all = Object.entries(labels);
  const total = all.reduce((sum, [, rows]) => sum + rows, 0) || 1;
  const sorted = all.sort(([one, a], [other, b]) => b - a || order.indexOf(one) - order.indexOf(other));
  const shown = sorted.slice(0, MOST_LABELS);
  const most = sorted[0]?.[1] ?? 1;
  return (
    <Section title="Labels" note={shown.length < all.length ? `The ${shown.length} most frequent of ${all.length}.` : undefined}>
      <Bars bars={shown.map(([label, rows]) => ({ name: label, share: rows / most, text: `${count(rows)} · ${percent(rows / total, 1)}` }))} />
    </Section>
  );
}

function HowRead({ reading, summary }: { reading: Reading; summary: Summary }) {
  const leftOut = reading.left_out ?? [];
  return (
    <Section title="How it was read">
      <Facts
        facts={[
          ["File", reading.file],
          ["Format", [reading.format, ...Object.entries(reading.options ?? {}).map(([name, value]) => `${words(name)} ${value}`)].join(", ")],
          ["Columns", Object.entries(reading.columns).map(([field, column]) => (field === column ? field : `${field} from ${column}`)).join(", ")],
          ...(reading.other_columns.length ? [["Not read", reading.other_columns.join(", ")] as [string, string]] : []),
          ...(summary.unanswerable ? [["Without an answer", count(summary.unanswerable)] as [string, string]] : []),
          ...Object.entries(reading.repaired ?? {}).map(([what, places]) => [`Repaired: ${words(what)}`, `${count(places)} places`] as [string, string]),
        ]}
      />
      {leftOut.map(({ reason, rows, first }) => (
        <p key={reason} className="warning">
          {count(rows)} rows left out: {reason} (first: {first.join(", ")})
        </p>
      ))}
    </Section>
  );
}

function Sample({ rows }: { rows: Record<string, unknown>[] }) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return (
    <Section title="First rows">
      <Table
        caption="First rows"
        rows={rows}
        keyOf={(_, index) => String(index)}
        columns={columns.map((name) => ({ name, cell: (row: Record<string, unknown>) => <span className="text">{shown(row[name])}</span> }))}
      />
    </Section>
  );
}

function shown(value: unknown): string {
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) return value.join(" ");
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}
