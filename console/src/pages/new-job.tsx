import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import schemas from "virtual:job-schemas";
import { Link, useLocation, useSearchParams } from "wouter";

import { answer, api, idempotencyKey } from "../api/client";
import { asProblem } from "../api/problem";
import { datasetsQuery, methodsQuery, modelsQuery } from "../api/queries";
import type { Dataset, Method, Model } from "../api/types";
import { Choice } from "../components/choice";
import { Code } from "../components/code";
import { Empty, Page, Section } from "../components/layout";
import { PlanView } from "../components/plan-view";
import { changed, finder, type Schema, SchemaField, SchemaFields, type Values } from "../components/schema-form";
import { Failed, Loaded, ProblemBox } from "../components/state";
import { count, short, words } from "../format";
import { authorized, literal, origin, python, quoted } from "../snippets";

const TYPING_MS = 350;
const GATE = "app__domain__documents__gate__Gate";

export default function NewJob() {
  const models = useQuery(modelsQuery);
  const datasets = useQuery(datasetsQuery);
  const methods = useQuery(methodsQuery);
  return (
    <Page title="New job">
      <Loaded query={models}>
        {(allModels) => (
          <Loaded query={datasets}>
            {(allDatasets) => (
              <Loaded query={methods}>
                {(allMethods) =>
                  allDatasets.data.length === 0 ? (
                    <Empty>
                      A job needs a data set. <Link href="/upload/dataset">Upload one.</Link>
                    </Empty>
                  ) : (
                    <Form models={allModels.data} datasets={allDatasets.data} methods={allMethods} />
                  )
                }
              </Loaded>
            )}
          </Loaded>
        )}
      </Loaded>
    </Page>
  );
}

interface Given {
  models: Model[];
  datasets: Dataset[];
  methods: Method[];
}

function Form({ models, datasets, methods }: Given) {
  const [search] = useSearchParams();
  const client = useQueryClient();
  const [, go] = useLocation();
  const [dataset, setDataset] = useState(() => datasetFor(search, models, datasets));
  const { task } = datasets.find(({ id }) => id === dataset) ?? datasets[0]!;
  const [teacher, setTeacher] = useState(() => search.get("teacher") ?? teacherFor(task, models)?.id ?? "");
  const [name, setName] = useState(() => (models.find(({ id }) => id === teacher)?.task === task ? "weight_squeezing" : "fine_tuning"));
  const fitting = methods.filter(({ tasks }) => tasks.includes(task));
  const method = fitting.find((one) => one.name === name) ?? fitting[0]!;
  const [allSettings, setAllSettings] = useState<Record<string, Values>>({});
  const settings = allSettings[method.name] ?? {};
  const [kind, setKind] = useState("compression_ratio");
  const constraint = method.targets?.find((one) => one === kind) ?? method.targets?.[0];
  const targetFields = [constraint ?? "", ...(method.embedding_options ?? []), ...(task === "sentence_embedding" ? ["dimensions"] : [])];
  const [allTargets, setTarget] = useState<Values>({ compression_ratio: 4, shape: { layers: 2, hidden: 128, heads: 2, ffn: 512 } });
  const target = Object.fromEntries(Object.entries(allTargets).filter(([field]) => targetFields.includes(field)));
  const [rest, setRest] = useState<Values>({});
  const [training, setTraining] = useState<Values>({});

  const spec: Values = {
    ...(teacher ? { teacher } : {}),
    dataset,
    method: { name: method.name, ...settings },
    ...(constraint ? { target } : {}),
    ...(Object.keys(training).length ? { training } : {}),
    ...rest,
  };
  const plan = usePlan(spec);
  const create = useMutation({
    mutationFn: () => {
      const headers = { "Idempotency-Key": idempotencyKey() };
      return answer(api.POST("/v1/jobs", { body: spec as never, headers }));
    },
    onSuccess: async (job) => {
      await client.invalidateQueries({ queryKey: ["jobs"] });
      go(`/jobs/${(job as { id: string }).id}`);
    },
  });
  const error = create.error ?? plan.error;
  const faults = error ? asProblem(error).faults : [];
  const known = models.filter(({ status }) => status === "ready").map(named);
  const context = { find: finder(schemas), faults, models: known };
  const methodSchema = method.parameters as Schema;
  const choose = (one: string) => {
    create.reset();
    setName(one);
  };

  function submit(event: FormEvent) {
    event.preventDefault();
    create.mutate();
  }

  return (
    <div className="beside">
      <form className="stack" onSubmit={submit} onChange={() => create.isError && create.reset()}>
        <Section title="Request">
          <div className="fields">
            <Choice label="Data set" value={dataset} onChange={setDataset} options={datasets.map((one) => [one.id, `${one.name} · ${words(one.task)} · ${count(one.rows)} rows`])} />
            <Choice label="Teacher" value={teacher} onChange={setTeacher} options={[["", "no teacher"], ...known]} />
            <Choice label="Method" value={method.name} onChange={choose} options={fitting.map((one) => [one.name, one.title])} />
          </div>
          <p className="fine">
            {method.summary} {method.when}
          </p>
        </Section>
        {constraint && (
          <Section title="Target">
            <div className="fields">
              <Choice label="Bound" value={constraint} onChange={setKind} options={(method.targets ?? []).map((one) => [one, words(one)])} />
              {targetFields.map((field) => (
                <SchemaField
                  key={field}
                  name={field}
                  schema={schemas["Target"]!.properties![field]!}
                  value={target[field]}
                  pointer={`#/target/${field}`}
                  isRequired={field === constraint}
                  context={context}
                  onChange={(value) => setTarget(changed(allTargets, field, value))}
                />
              ))}
            </div>
          </Section>
        )}
        {Object.keys(methodSchema.properties ?? {}).length > 1 && (
          <Section title={method.title}>
            <SchemaFields
              schema={methodSchema}
              value={settings}
              pointer="#/method"
              context={{ ...context, find: finder(methodSchema.$defs ?? {}) }}
              without={["name"]}
              onChange={(values) => setAllSettings({ ...allSettings, [method.name]: values })}
            />
          </Section>
        )}
        <Section title="Training">
          <SchemaFields schema={{ properties: pick(schemas["TrainingSpec"]!, ["epochs", "learning_rate", "batch_size", "max_length"]) }} value={training} pointer="#/training" context={context} onChange={setTraining} />
          <details>
            <summary>More settings</summary>
            <div className="stack">
              <SchemaFields schema={schemas["TrainingSpec"]!} without={["epochs", "learning_rate", "batch_size", "max_length"]} value={training} pointer="#/training" context={context} onChange={setTraining} />
              <SchemaFields schema={{ properties: pick(schemas["JobSpec"]!, ["student_name", "exports", "controls", "time_limit_s"]) }} value={rest} pointer="#" context={context} onChange={setRest} />
              <SchemaField name="gate" schema={{ anyOf: [{ $ref: GATE }, { type: "null" }], description: schemas["JobSpec"]!.properties!["gate"]!.description }} value={rest["gate"]} pointer="#/gate" context={context} onChange={(value) => setRest(changed(rest, "gate", value))} />
            </div>
          </details>
        </Section>
        <div className="row">
          <button type="submit" className="primary" disabled={create.isPending}>
            Start job
          </button>
        </div>
        {create.isError && <Failed error={create.error} />}
      </form>
      <aside className="stack sticky" aria-label="Plan">
        <Section title="Plan">
          <div aria-live="polite" aria-busy={plan.isFetching} className="stack">
            {plan.isError ? <ProblemBox error={plan.error} /> : plan.data ? <PlanView plan={plan.data} /> : <Empty>Planning …</Empty>}
          </div>
        </Section>
        <Section title="The same from elsewhere">
          <Code label="curl" text={curlOf(spec)} />
          <Code label="Python" text={pythonOf(spec)} />
        </Section>
      </aside>
    </div>
  );
}

function named({ id, name, task, parameters }: Model): [id: string, name: string] {
  return [id, `${name} · ${task ? words(task) : "no head"} · ${short(parameters)}`];
}

/** The data set that the address names, or the one that a model was trained on. */
function datasetFor(search: URLSearchParams, models: Model[], datasets: Dataset[]): string {
  const teacher = models.find(({ id }) => id === search.get("teacher"));
  const known = [search.get("dataset"), teacher?.lineage.dataset].find((id) => datasets.some((one) => one.id === id));
  return known ?? datasets.find(({ task }) => task === teacher?.task)?.id ?? datasets[0]!.id;
}

/** A model that answers the task, or else an encoder that may learn it. */
function teacherFor(task: string, models: Model[]): Model | undefined {
  const ready = models.filter(({ status }) => status === "ready");
  const largest = (some: Model[]) => some.toSorted((a, b) => (b.parameters ?? 0) - (a.parameters ?? 0))[0];
  return largest(ready.filter((model) => model.task === task)) ?? largest(ready.filter((model) => model.task === null));
}

function pick({ properties = {} }: Schema, names: string[]): Record<string, Schema> {
  return Object.fromEntries(names.filter((name) => name in properties).map((name) => [name, properties[name]!]));
}

/** The plan of what is typed, once the typing has stopped for a moment. */
function usePlan(spec: Values) {
  const typed = JSON.stringify(spec);
  const [settled, setSettled] = useState(typed);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(typed), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return useQuery({
    queryKey: ["plans", settled],
    queryFn: () => answer(api.POST("/v1/plans", { body: JSON.parse(settled) as never })),
    placeholderData: keepPreviousData,
  });
}

function curlOf(spec: Values): string {
  return `curl -s ${origin()}/v1/jobs ${authorized()}-H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(spec, null, 2))}`;
}

function pythonOf({ dataset, method, ...others }: Values): string {
  const { name, ...settings } = method as { name: string };
  const given = { method: Object.keys(settings).length ? method : name, ...others };
  const lines = Object.entries(given).map(([field, value]) => `    ${field}=${literal(value)},`);
  return python(`job = squeeze.jobs.create(\n    ${literal(dataset)},\n${lines.join("\n")}\n)`);
}

