import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";

import { answer, api } from "../api/client";
import { asProblem } from "../api/problem";
import { isReadable, type Key, type Project } from "../api/types";
import { Bars } from "../components/bars";
import { Code } from "../components/code";
import { KeyForm } from "../components/key-form";
import { Empty, Page, Section } from "../components/layout";
import { Loading, ProblemBox } from "../components/state";
import { Badge } from "../components/status";
import { Table } from "../components/table";
import { bytes, count, moment, NONE } from "../format";

const SCOPES = ["read", "predict", "write", "admin"] as const;

export default function Keys() {
  const projects = useQuery({
    queryKey: ["projects"],
    queryFn: async () => {
      const listed = (await answer(api.GET("/v1/projects"))).data.filter(isReadable);
      return Promise.all(
        listed.map(({ id }) => answer(api.GET("/v1/projects/{project_id}", { params: { path: { project_id: id } } }))),
      );
    },
  });
  const keys = useQuery({
    queryKey: ["keys"],
    queryFn: async () => (await answer(api.GET("/v1/keys"))).data.filter(isReadable),
  });
  const refusal = keys.error && asProblem(keys.error);
  return (
    <Page title="Keys and usage">
      {refusal && [401, 403].includes(refusal.status) ? (
        <KeyForm reason={refusal.needsKey ? refusal.message : "Keys and usage are shown to a key with the scope admin. Give one to see them."} />
      ) : (
        <>
          {projects.error && <ProblemBox error={projects.error} />}
          {projects.data?.map((project) => <Usage key={project.id} project={project} />)}
          {keys.error ? <ProblemBox error={keys.error} /> : keys.data ? <KeyList keys={keys.data} /> : <Loading />}
          {keys.data && <NewKey />}
          <KeyForm />
        </>
      )}
    </Page>
  );
}

function Usage({ project: { name, usage, limits } }: { project: Project }) {
  const rows: [name: string, used: number, limit: number | null | undefined, show: (value: number) => string][] = [
    ["Stored files", usage.stored_bytes, limits.max_stored_bytes, bytes],
    ["Queued jobs", usage.queued_jobs, limits.max_queued_jobs, count],
    ["Running jobs", usage.running_jobs, limits.max_running_jobs, count],
    ["Predictions today", usage.predictions_today, limits.max_predictions_per_day, count],
  ];
  return (
    <Section title={`Usage of ${name}`}>
      <Bars
        bars={rows.map(([what, used, limit, show]) => ({
          name: what,
          share: limit ? used / limit : 0,
          text: limit ? `${show(used)} of ${show(limit)}` : `${show(used)} · no limit`,
        }))}
      />
    </Section>
  );
}

function KeyList({ keys }: { keys: Key[] }) {
  const client = useQueryClient();
  const revoke = useMutation({
    mutationFn: (id: string) => answer(api.POST("/v1/keys/{key_id}/revoke", { params: { path: { key_id: id } } })),
    onSettled: () => client.invalidateQueries({ queryKey: ["keys"] }),
  });
  return (
    <Section title="API keys">
      {revoke.isError && <ProblemBox error={revoke.error} />}
      {keys.length === 0 ? (
        <Empty>No keys.</Empty>
      ) : (
        <Table
          caption="API keys"
          rows={keys}
          keyOf={({ id }) => id}
          columns={[
            { name: "Name", cell: ({ name }) => name },
            { name: "Scopes", cell: ({ scopes }) => scopes.join(", ") },
            { name: "Status", cell: ({ revoked_at, expires_at }) => <Badge status={revoked_at ? "cancelled" : "ready"} text={revoked_at ? "revoked" : expires_at ? `until ${moment(expires_at)}` : "valid"} /> },
            { name: "Last used", cell: ({ last_used_at }) => (last_used_at ? moment(last_used_at) : NONE) },
            { name: "Created", cell: ({ created_at }) => moment(created_at) },
            {
              name: "",
              cell: ({ id, name, revoked_at }) =>
                !revoked_at && (
                  <button className="small" aria-label={`Revoke ${name}`} onClick={() => confirm(`Revoke ${name}? Its requests are refused from then on.`) && revoke.mutate(id)}>
                    Revoke
                  </button>
                ),
            },
          ]}
        />
      )}
    </Section>
  );
}

function NewKey() {
  const client = useQueryClient();
  const id = useId();
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<(typeof SCOPES)[number][]>(["read", "predict"]);
  const create = useMutation({
    mutationFn: () => answer(api.POST("/v1/keys", { body: { name, scopes } as never })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["keys"] }),
  });

  function submit(event: FormEvent) {
    event.preventDefault();
    create.mutate();
  }

  return (
    <form className="card" onSubmit={submit}>
      <h2>New key</h2>
      <div className="fields">
        <div className="field">
          <label htmlFor={id}>Name</label>
          <input id={id} required maxLength={200} value={name} onChange={(event) => setName(event.target.value)} />
        </div>
        <fieldset>
          <legend>Scopes</legend>
          {SCOPES.map((scope) => (
            <label key={scope} className="check">
              <input
                type="checkbox"
                checked={scopes.includes(scope)}
                onChange={({ target }) => setScopes(target.checked ? [...scopes, scope] : scopes.filter((one) => one !== scope))}
              />
              {scope}
            </label>
          ))}
        </fieldset>
      </div>
      <div className="row">
        <button type="submit" disabled={create.isPending || scopes.length === 0}>
          Create key
        </button>
      </div>
      {create.isError && <ProblemBox error={create.error} />}
      {create.data && <Code label="Secret, shown this once" text={create.data.secret} />}
    </form>
  );
}
