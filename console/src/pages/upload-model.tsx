import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";

import { answer, api } from "../api/client";
import { sendForm } from "../api/sending";
import type { Model } from "../api/types";
import { DropZone, type Dropped } from "../components/drop-zone";
import { Failed } from "../components/state";
import { bytes, percent } from "../format";

const ARCHIVE = /\.(zip|tar|tar\.gz|tgz)$/i;
/** Of a folder with weights in several forms the service reads these. */
const UNREAD = /(^|\/)(\.|__pycache__)|\.(bin|pt|pth|ckpt|h5|msgpack|onnx|ot|gguf)$/i;

interface Chosen {
  name: string;
  files: Dropped[];
  leftOut: string[];
}

/** A Hugging Face folder, zipped on the way, or an archive of one, or one of the hub. */
export function ModelUpload({ onDone }: { onDone: (id: string) => void }) {
  const client = useQueryClient();
  const id = useId();
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const [name, setName] = useState("");
  const [sent, setSent] = useState<number | null>(null);
  const done = async (model: Model) => {
    await client.invalidateQueries({ queryKey: ["models"] });
    onDone(model.id);
  };
  const send = useMutation({
    mutationFn: async ({ files }: Chosen) => {
      const form = new FormData();
      form.set("name", name);
      const [only] = files;
      if (files.length === 1 && only && ARCHIVE.test(only.path)) form.set("file", only.file, only.file.name);
      else form.set("file", await (await import("../zipping")).zipped(files), `${name}.zip`);
      return sendForm<Model>("/v1/models", form, setSent);
    },
    onSuccess: done,
    onSettled: () => setSent(null),
  });

  function take(dropped: Dropped[]) {
    if (dropped.length === 0) return;
    const root = rootOf(dropped);
    const files = dropped.filter(({ path }) => !UNREAD.test(path)).map(({ path, file }) => ({ path: path.slice(root.length), file }));
    setChosen({ name: root.slice(0, -1), files, leftOut: dropped.filter(({ path }) => UNREAD.test(path)).map(({ path }) => path.slice(root.length)) });
    setName(root.slice(0, -1) || dropped[0]!.file.name.replace(ARCHIVE, ""));
    send.reset();
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    if (chosen) send.mutate(chosen);
  }

  return (
    <>
      <form className="card" onSubmit={submit}>
        <h2>From this computer</h2>
        <DropZone folders about="Drop a Hugging Face folder here (config.json, model.safetensors, tokenizer.json), or an archive of one (.zip, .tar, .tar.gz)." onFiles={take} />
        {chosen && (
          <>
            <ul className="plain files">
              {chosen.files.map(({ path, file }) => (
                <li key={path}>
                  <span>{path}</span>
                  <span className="muted">{bytes(file.size)}</span>
                </li>
              ))}
            </ul>
            {chosen.leftOut.length > 0 && <p className="fine">Not sent: {chosen.leftOut.join(", ")}</p>}
            <div className="field">
              <label htmlFor={id}>Name</label>
              <input id={id} required maxLength={200} value={name} onChange={(event) => setName(event.target.value)} />
            </div>
            <div className="row">
              <button type="submit" className="primary" disabled={send.isPending || chosen.files.length === 0}>
                Upload model
              </button>
              {send.isPending && <Sending share={sent} />}
            </div>
          </>
        )}
        {send.isError && <Failed error={send.error} />}
      </form>
      <FromHub onDone={done} />
    </>
  );
}

export function Sending({ share }: { share: number | null }) {
  const text = share === null ? "Packing …" : share < 1 ? `${percent(share)} sent` : "The service reads it …";
  return (
    <span role="status" className="muted">
      {text}
    </span>
  );
}

/** The folder that all files are in. */
function rootOf(files: Dropped[]): string {
  const [top] = files[0]!.path.split("/");
  return files.every(({ path }) => path.startsWith(`${top}/`)) ? `${top}/` : "";
}

function FromHub({ onDone }: { onDone: (model: Model) => void }) {
  const id = useId();
  const [repository, setRepository] = useState("");
  const [revision, setRevision] = useState("main");
  const create = useMutation({
    mutationFn: () => {
      const body = { name: repository.split("/").at(-1), source: { hub: repository, revision } };
      return answer(api.POST("/v1/models", { body: body as never }));
    },
    onSuccess: (model) => onDone(model as Model),
  });

  function submit(event: FormEvent) {
    event.preventDefault();
    create.mutate();
  }

  return (
    <form className="card" onSubmit={submit}>
      <h2>From the Hugging Face hub</h2>
      <div className="fields">
        <div className="field">
          <label htmlFor={`${id}-repository`}>Repository</label>
          <input id={`${id}-repository`} required placeholder="owner/name" value={repository} onChange={(event) => setRepository(event.target.value)} />
        </div>
        <div className="field">
          <label htmlFor={`${id}-revision`}>Revision</label>
          <input id={`${id}-revision`} required value={revision} onChange={(event) => setRevision(event.target.value)} />
        </div>
      </div>
      <div className="row">
        <button type="submit" disabled={create.isPending}>
          Take from the hub
        </button>
      </div>
      {create.isError && <Failed error={create.error} />}
    </form>
  );
}
