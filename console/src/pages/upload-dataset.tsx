import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";

import { asProblem } from "../api/problem";
import { methodsQuery } from "../api/queries";
import { sendForm } from "../api/sending";
import type { Dataset, DatasetCheck } from "../api/types";
import { Choice } from "../components/choice";
import { DatasetView } from "../components/dataset-view";
import { DropZone, type Dropped } from "../components/drop-zone";
import { Failed } from "../components/state";
import { bytes, words } from "../format";
import { Sending } from "./upload-model";

const SPLITS = ["train", "dev", "test", "unlabeled"] as const;
type SplitName = (typeof SPLITS)[number];
const NOT_SENT = "";

/** Tables for splits: looked at first, so that what is understood can be compared with what was meant. */
export function DatasetUpload({ onDone }: { onDone: (id: string) => void }) {
  const client = useQueryClient();
  const id = useId();
  const tasks = [...new Set((useQuery(methodsQuery).data ?? []).flatMap((method) => method.tasks))].sort();
  const [files, setFiles] = useState<{ file: File; split: SplitName | "" }[]>([]);
  const [task, setTask] = useState("text_classification");
  const [name, setName] = useState("");
  const [columns, setColumns] = useState("");
  const [sent, setSent] = useState<number | null>(null);

  const send = <T,>(query: string) => {
    const form = new FormData();
    form.set("name", name || "data set");
    form.set("task", task);
    if (columns.trim()) form.set("columns", JSON.stringify(columnsOf(columns)));
    for (const { file, split } of files) if (split) form.set(split, file, file.name);
    return sendForm<T>(`/v1/datasets${query}`, form, setSent);
  };
  const check = useMutation({ mutationFn: () => send<DatasetCheck>("?validate_only=true"), onSettled: () => setSent(null) });
  const register = useMutation({
    mutationFn: () => send<Dataset>(""),
    onSuccess: async (dataset) => {
      await client.invalidateQueries({ queryKey: ["datasets"] });
      onDone(dataset.id);
    },
    onSettled: () => setSent(null),
  });
  const error = register.error ?? check.error;
  const faults = error ? asProblem(error).faults : [];
  const faultOf = (field: string) => faults.find(({ pointer }) => pointer === `#/${field}` || pointer?.startsWith(`#/${field}/`))?.detail;
  const places = ["name", "task", "columns", ...files.map(({ split }) => split)];
  const isPlaced = faults.length > 0 && faults.every(({ pointer }) => places.includes(pointer?.split("/")[1] ?? ""));

  function changed() {
    check.reset();
    register.reset();
  }

  function take(dropped: Dropped[]) {
    const all = [...files, ...dropped.map(({ file }) => ({ file, split: splitOf(file.name) }))];
    // Of two files for a split the newer one counts.
    setFiles(all.filter(({ split }, index) => !split || all.findLastIndex((other) => other.split === split) === index));
    if (!name) setName(dropped[0]?.path.split("/").slice(0, -1).at(0) ?? "");
    changed();
  }

  return (
    <>
      <form
        className="card"
        onSubmit={(event) => {
          event.preventDefault();
          check.mutate();
        }}
      >
        <h2>Tables</h2>
        <DropZone about="Drop tables here: .jsonl, .csv, .tsv, .parquet, .conll and others, also .gz, or an archive with train and dev in it." onFiles={take} />
        {files.map(({ file, split }, index) => (
          <div key={`${file.name} ${index}`} className="file-row">
            <Choice
              label={`${file.name} · ${bytes(file.size)}`}
              value={split}
              options={[...SPLITS.map((one) => [one, one] as [string, string]), [NOT_SENT, "not sent"]]}
              onChange={(value) => {
                setFiles(files.map((one, place) => (place === index ? { ...one, split: value as SplitName } : one)));
                changed();
              }}
            />
            <button type="button" aria-label={`Remove ${file.name}`} onClick={() => setFiles(files.filter((_, place) => place !== index))}>
              Remove
            </button>
            {split && <FaultLine text={faultOf(split)} />}
          </div>
        ))}
        <div className="fields">
          <div className="field">
            <label htmlFor={`${id}-name`}>Name</label>
            <input id={`${id}-name`} maxLength={200} placeholder="data set" value={name} onChange={(event) => setName(event.target.value)} />
            <FaultLine text={faultOf("name")} />
          </div>
          <div>
            <Choice
              label="Task"
              value={task}
              options={(tasks.length ? tasks : [task]).map((one) => [one, words(one)])}
              onChange={(value) => {
                setTask(value);
                changed();
              }}
            />
            <FaultLine text={faultOf("task")} />
          </div>
          <div className="field">
            <label htmlFor={`${id}-columns`}>Columns of other names</label>
            <input
              id={`${id}-columns`}
              placeholder="text=sentence, label=y"
              value={columns}
              onChange={(event) => {
                setColumns(event.target.value);
                changed();
              }}
            />
            <FaultLine text={faultOf("columns")} />
          </div>
        </div>
        <div className="row">
          <button type="submit" className={check.data ? undefined : "primary"} disabled={files.length === 0 || check.isPending || register.isPending}>
            Check
          </button>
          <button type="button" className={check.data ? "primary" : undefined} disabled={!check.data || register.isPending} onClick={() => register.mutate()}>
            Register data set
          </button>
          {(check.isPending || register.isPending) && <Sending share={sent} />}
          {check.data && !register.isPending && <span role="status">Read without faults. Is it what you meant?</span>}
        </div>
        {error && !isPlaced && <Failed error={error} />}
      </form>
      {check.data && <DatasetView dataset={check.data} />}
    </>
  );
}

function FaultLine({ text }: { text: string | undefined }) {
  if (!text) return null;
  return (
    <p className="fault" role="alert">
      {text}
    </p>
  );
}

function splitOf(name: string): SplitName {
  if (/unlabel/i.test(name)) return "unlabeled";
  if (/\b(dev|val|valid|validation)\b/i.test(name.replaceAll("_", " "))) return "dev";
  return /\btest\b/i.test(name.replaceAll("_", " ")) ? "test" : "train";
}

/** `text=sentence, label=y` as an object. */
function columnsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(",").map((part) => {
      const [field = "", ...column] = part.split("=");
      return [field.trim(), column.join("=").trim()];
    }),
  );
}
