import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Link } from "wouter";

import { answer, api, download } from "../api/client";
import { datasetsQuery, modelQuery, modelsQuery, nameOf } from "../api/queries";
import type { Model } from "../api/types";
import { Code } from "../components/code";
import { GateResult } from "../components/gate-result";
import { Facts, Page, Section } from "../components/layout";
import { Loaded, ProblemBox } from "../components/state";
import { Badge } from "../components/status";
import { Table } from "../components/table";
import { bytes, count, methodName, metric, moment, ms, NONE, percent, shape, words } from "../format";
import { authorized, origin, python, quoted } from "../snippets";

export default function ModelPage({ params }: { params: { id: string } }) {
  const model = useQuery(modelQuery(params.id));
  return <Loaded query={model} title="Model">{(data) => <ModelView model={data} />}</Loaded>;
}

/** What the publish gate says of a student, and the decision to serve it all the same. */
function Gate({ model, gate }: { model: Model; gate: NonNullable<Model["gate"]> }) {
  const client = useQueryClient();
  const id = useId();
  const [reason, setReason] = useState("");
  const release = useMutation({
    mutationFn: () => answer(api.POST("/v1/models/{model_id}/release", { params: { path: { model_id: model.id } }, body: { reason } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["models"] }),
  });
  return (
    <Section title="Publish gate">
      <GateResult gate={gate} />
      {gate.failures.length > 0 && !gate.release && (
        <form
          className="row"
          onSubmit={(event) => {
            event.preventDefault();
            release.mutate();
          }}
        >
          <label htmlFor={id}>Reason to serve it all the same</label>
          <input id={id} required maxLength={1000} value={reason} onChange={(event) => setReason(event.target.value)} />
          <button type="submit" disabled={release.isPending}>
            Release
          </button>
        </form>
      )}
      {release.isError && <ProblemBox error={release.error} />}
    </Section>
  );
}

function ModelView({ model }: { model: Model }) {
  const models = useQuery(modelsQuery).data?.data;
  const datasets = useQuery(datasetsQuery).data?.data;
  const { lineage, manifest } = model;
  const isServed = model.status === "ready" && model.task !== null;
  return (
    <Page
      title={model.name}
      lead={
        <>
          <Badge status={model.status} /> <code>{model.id}</code>
        </>
      }
      actions={
        <>
          <Link className="button" href={`/jobs/new?teacher=${model.id}`}>
            Compress
          </Link>
          {isServed && (
            <Link className="button primary" href={`/playground?left=${model.id}`}>
              Try it
            </Link>
          )}
        </>
      }
    >
      {model.gate && <Gate model={model} gate={model.gate} />}
      {model.error && <p className="problem">{model.error.message}</p>}
      {model.progress && <p className="warning">It is being read: {model.progress.step}.</p>}
      <Section title="Model">
        <Facts
          facts={[
            ["Task", model.task ? words(model.task) : "none: an encoder without a task head"],
            ["Architecture", model.architecture ? `${model.architecture}, ${shape(model.shape)}` : NONE],
            ["Parameters", count(model.parameters)],
            ["Files", bytes(model.size_bytes)],
            ["Labels", model.labels?.join(", ") ?? NONE],
            ["Longest input", manifest ? `${count(manifest.max_length)} tokens` : NONE],
            ["Origin", lineage.job ? <Link href={`/jobs/${lineage.job}`}>{methodName(lineage.method)}</Link> : model.origin],
            ["Teacher", lineage.teacher ? <Link href={`/models/${lineage.teacher}`}>{nameOf(lineage.teacher, models)}</Link> : NONE],
            ["Data set", lineage.dataset ? <Link href={`/datasets/${lineage.dataset}`}>{nameOf(lineage.dataset, datasets)}</Link> : NONE],
            ["Created", moment(model.created_at)],
          ]}
        />
        {manifest?.notes?.map((note) => (
          <p key={note} className="warning">
            {note}
          </p>
        ))}
      </Section>
      {manifest && Object.keys(manifest.exports ?? {}).length > 0 && (
        <Section title="ONNX files">
          <Table
            caption="ONNX files"
            rows={Object.entries(manifest.exports ?? {})}
            keyOf={([precision]) => precision}
            columns={[
              { name: "Precision", cell: ([precision]) => precision },
              { name: "Size", number: true, cell: ([, file]) => bytes(file.size_bytes) },
              { name: "Dev", number: true, cell: ([, file]) => metric(file.metric) },
              { name: "Same answers as torch", number: true, cell: ([, file]) => percent(file.label_agreement, 1) },
              { name: "One text", number: true, cell: ([, file]) => ms(file.latency_ms?.["1"]) },
              { name: "32 texts", number: true, cell: ([, file]) => ms(file.latency_ms?.["32"]) },
            ]}
          />
        </Section>
      )}
      {manifest && (
        <Section title="Files">
          <Table
            caption="Files"
            rows={Object.entries(manifest.files.entries)}
            keyOf={([name]) => name}
            columns={[
              {
                name: "File",
                cell: ([name]) => (
                  <button className="link" onClick={() => void download(`/v1/models/${model.id}/artifacts/${name}`, name.split("/").at(-1)!)}>
                    {name}
                  </button>
                ),
              },
              { name: "Size", number: true, cell: ([, file]) => bytes(file.size_bytes), order: ([, file]) => file.size_bytes },
              { name: "SHA-256", cell: ([, file]) => <code>{file.sha256.slice(0, 16)}…</code> },
            ]}
          />
        </Section>
      )}
      {isServed && (
        <Section title="Use it">
          <div className="columns">
            <Code label="curl" text={`curl -s ${origin()}/v1/models/${model.id}/predict ${authorized()}-H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify({ inputs: ["..."] }))}`} />
            <Code label="Python" text={python(`print(squeeze.predict("${model.id}", ["..."]))`)} />
          </div>
        </Section>
      )}
    </Page>
  );
}
