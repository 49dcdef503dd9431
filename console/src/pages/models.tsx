import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import { modelsQuery } from "../api/queries";
import { Empty, Page, Section } from "../components/layout";
import { Loaded } from "../components/state";
import { Badge } from "../components/status";
import { Table } from "../components/table";
import { bytes, methodName, moment, NONE, shape, short, words } from "../format";

export default function Models() {
  const models = useQuery(modelsQuery);
  return (
    <Page
      title="Models"
      actions={
        <Link className="button primary" href="/upload/model">
          Upload a model
        </Link>
      }
    >
      <Loaded query={models}>
        {({ data, has_more }) => (
          <Section title="All models" note={has_more ? "The newest 100." : undefined}>
            {data.length === 0 ? (
              <Empty>
                No models. <Link href="/upload/model">Upload one.</Link>
              </Empty>
            ) : (
              <Table
                caption="Models"
                rows={data}
                keyOf={({ id }) => id}
                columns={[
                  { name: "Name", cell: (model) => <Link href={`/models/${model.id}`}>{model.name}</Link>, order: ({ name }) => name },
                  { name: "Status", cell: (model) => <Badge status={model.gate?.failures.length && !model.gate.release ? "warning" : model.status} text={model.gate?.failures.length && !model.gate.release ? "withheld" : undefined} /> },
                  { name: "Task", cell: ({ task }) => (task ? words(task) : "no head"), order: ({ task }) => task },
                  { name: "Made by", cell: ({ lineage, origin }) => (lineage.job ? <Link href={`/jobs/${lineage.job}`}>{methodName(lineage.method)}</Link> : origin) },
                  { name: "Shape", cell: (model) => (model.architecture ? `${model.architecture}, ${shape(model.shape)}` : NONE) },
                  { name: "Parameters", number: true, cell: ({ parameters }) => short(parameters), order: ({ parameters }) => parameters },
                  { name: "Files", number: true, cell: ({ size_bytes }) => bytes(size_bytes), order: ({ size_bytes }) => size_bytes },
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
