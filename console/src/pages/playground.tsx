import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useId, useState } from "react";
import { Link, useSearchParams } from "wouter";

import { api } from "../api/client";
import { datasetQuery, modelsQuery } from "../api/queries";
import type { Model } from "../api/types";
import { AnswerView } from "../components/answer-view";
import { Choice } from "../components/choice";
import { Empty, Page, Section } from "../components/layout";
import { Loaded, ProblemBox } from "../components/state";
import { bytes, capitalized, ms, short, words } from "../format";

const PRECISIONS = ["int8", "fp32"] as const;
type Precision = (typeof PRECISIONS)[number];
type Input = string | Record<string, string>;

/** Two models side by side on the same text. */
export default function Playground() {
  const models = useQuery(modelsQuery);
  return (
    <Page title="Playground" lead="One text, two models.">
      <Loaded query={models}>
        {({ data }) => {
          const served = data.filter(({ status, task, gate }) => status === "ready" && task && !(gate?.failures.length && !gate.release));
          if (served.length === 0) {
            return (
              <Empty>
                No model answers requests yet: <Link href="/upload/model">upload one</Link> or <Link href="/jobs/new">train one</Link>.
              </Empty>
            );
          }
          return <Sides models={served} />;
        }}
      </Loaded>
    </Page>
  );
}

function Sides({ models }: { models: Model[] }) {
  const [search, setSearch] = useSearchParams();
  const find = (id: string | null) => models.find((model) => model.id === id);
  const left = find(search.get("left")) ?? models[0]!;
  const peers = models.filter((model) => model.task === left.task);
  const right = find(search.get("right")) ?? find(left.lineage.teacher) ?? peers.find((model) => model !== left);
  const [input, setInput] = useState<Input | null>(null);
  const [precision, setPrecision] = useState<Precision>("int8");
  const set = (side: string) => (id: string) => setSearch({ left: left.id, right: right?.id ?? "", [side]: id });
  const option = (model: Model): [string, string] => [model.id, `${model.name} · ${short(model.parameters)}`];
  return (
    <>
      <div className="columns">
        <Choice label="Model" value={left.id} onChange={set("left")} options={models.map(option)} />
        <Choice label="Beside it" value={right?.id ?? ""} onChange={set("right")} options={[["", "nothing"], ...peers.map(option)]} />
      </div>
      <Form key={left.id} model={left} precision={precision} onPrecision={setPrecision} onSubmit={setInput} />
      <div className="columns">
        {[left, right].map((model, index) => model && <Side key={`${index} ${model.id}`} model={model} input={input} precision={precision} />)}
      </div>
    </>
  );
}

/** The fields that a model's task reads. */
function fieldsOf(model: Model): [field: string, label: string, rows: number][] {
  switch (model.task) {
    case "question_answering":
      return [["question", "Question", 1], ["context", "Context", 5]];
    case "sentence_embedding":
      return [["text", "Texts, one a line", 4]];
    case "masked_language_modeling":
      return [["text", "Text with [MASK] in it", 2]];
    case "translation":
      return [["text", "Sentence", 2]];
    default:
      return model.manifest?.is_pair ? [["text", "Text", 2], ["text_pair", "Second text", 2]] : [["text", "Text", 3]];
  }
}

function Form({ model, precision, onPrecision, onSubmit }: {
  model: Model;
  precision: Precision;
  onPrecision: (precision: Precision) => void;
  onSubmit: (input: Input) => void;
}) {
  const fields = fieldsOf(model);
  const [texts, setTexts] = useState<Record<string, string>>({});
  const id = useId();
  const examples = useExamples(model);

  function submit(event: FormEvent) {
    event.preventDefault();
    onSubmit(fields.length === 1 ? (texts["text"] ?? "") : texts);
  }

  return (
    <form className="card" onSubmit={submit}>
      <h2>{capitalized(words(model.task ?? ""))}</h2>
      {fields.map(([field, label, rows]) => (
        <div key={field} className="field">
          <label htmlFor={`${id}-${field}`}>{label}</label>
          <textarea
            id={`${id}-${field}`}
            rows={rows}
            required
            value={texts[field] ?? ""}
            onChange={(event) => setTexts({ ...texts, [field]: event.target.value })}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit();
            }}
          />
        </div>
      ))}
      {examples.length > 0 && (
        <div className="filters">
          <span className="muted">From its data:</span>
          {examples.map((example, index) => (
            <button key={index} type="button" className="chip example" onClick={() => setTexts(example)}>
              {Object.values(example).join(" · ").slice(0, 60)}
            </button>
          ))}
        </div>
      )}
      <div className="row">
        <button type="submit" className="primary">
          Predict
        </button>
        <fieldset className="bare">
          <legend className="hidden">Files</legend>
          {PRECISIONS.map((one) => (
            <label key={one} className="check">
              <input type="radio" name={`${id}-precision`} checked={one === precision} onChange={() => onPrecision(one)} />
              {one}
            </label>
          ))}
        </fieldset>
        <span className="fine">Ctrl and Enter predict, too.</span>
      </div>
    </form>
  );
}

/** Inputs from the first rows of the data set that a model was trained on. */
function useExamples(model: Model): Record<string, string>[] {
  const { dataset } = model.lineage;
  const { data } = useQuery({ ...datasetQuery(dataset ?? ""), enabled: dataset !== null });
  const splits = data?.reading?.splits;
  const rows = (splits?.["dev"] ?? splits?.["train"])?.first_rows ?? [];
  const text = (value: unknown) => (Array.isArray(value) ? value.join(" ") : String(value ?? ""));
  return rows.map((row) =>
    Object.fromEntries(fieldsOf(model).map(([field]) => [field, text(row[field] ?? row["source"] ?? row["tokens"])])),
  );
}

function Side({ model, input, precision }: { model: Model; input: Input | null; precision: Precision }) {
  const exported = Object.keys(model.manifest?.exports ?? {});
  const used = exported.length === 0 || exported.includes(precision) ? precision : exported[0]!;
  const predict = useMutation({
    mutationFn: async (inputs: unknown) => {
      const started = performance.now();
      const params = { path: { model_id: model.id } };
      const parameters = exported.length ? { precision: used } : {};
      const { data } = await api.POST("/v1/models/{model_id}/predict", { params, body: { inputs, parameters } as never });
      return { answer: data as unknown, took: performance.now() - started };
    },
  });
  const { mutate } = predict;
  useEffect(() => {
    if (input === null) return;
    const isLines = model.task === "sentence_embedding" && typeof input === "string";
    mutate(isLines ? input.split("\n").filter((line) => line.trim()) : input);
  }, [input, mutate, model.task, used]);
  return (
    <Section title={model.name} note={`${short(model.parameters)} parameters · ${bytes(model.manifest?.exports?.[used]?.size_bytes ?? model.size_bytes)} · ${used}`}>
      <div aria-live="polite" aria-busy={predict.isPending}>
        {predict.isError ? (
          <ProblemBox error={predict.error} />
        ) : predict.data && input !== null ? (
          <>
            <AnswerView task={model.task!} input={input} answer={predict.data.answer} />
            <p className="fine">{ms(predict.data.took)} with the way there and back</p>
          </>
        ) : (
          <Empty>{predict.isPending ? "Predicting …" : "Its answer comes here."}</Empty>
        )}
      </div>
    </Section>
  );
}
