import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import { datasetsQuery } from "../api/queries";
import { Empty, Page, Section } from "../components/layout";
import { Loaded } from "../components/state";
import { Badge } from "../components/status";
import { Table } from "../components/table";
import { bytes, count, moment, words } from "../format";

export default function Datasets() {
  const datasets = useQuery(datasetsQuery);
  return (
    <Page
      title="Data sets"
      actions={
        <Link className="button primary" href="/upload/dataset">
          Upload a data set
        </Link>
      }
    >
      <Loaded query={datasets}>
        {({ data, has_more }) => (
          <Section title="All data sets" note={has_more ? "The newest 100." : undefined}>
            {data.length === 0 ? (
              <Empty>
                No data sets. <Link href="/upload/dataset">Upload one.</Link>
              </Empty>
            ) : (
              <Table
                caption="Data sets"
                rows={data}
                keyOf={({ id }) => id}
                columns={[
                  { name: "Name", cell: (dataset) => <Link href={`/datasets/${dataset.id}`}>{dataset.name}</Link>, order: ({ name }) => name },
                  { name: "Task", cell: ({ task }) => words(task), order: ({ task }) => task },
                  { name: "Splits", cell: ({ splits }) => Object.entries(splits).map(([split, { rows }]) => `${split} ${count(rows)}`).join(", ") },
                  { name: "Labels", number: true, cell: ({ labels }) => labels.length || "", order: ({ labels }) => labels.length },
                  { name: "Rows", number: true, cell: ({ rows }) => count(rows), order: ({ rows }) => rows },
                  { name: "Size", number: true, cell: ({ size_bytes }) => bytes(size_bytes), order: ({ size_bytes }) => size_bytes },
                  { name: "Warnings", cell: ({ reading }) => (reading?.warnings?.length ? <Badge status="warning" text={String(reading.warnings.length)} /> : "") },
                  { name: "Created", number: true, cell: ({ created_at }) => moment(created_at), order: ({ created_at }) => created_at },
                ]}
              />
            )}
          </Section>
        )}
      </Loaded>
    </Page>
  );
}
