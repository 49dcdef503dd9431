import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";

import { storeKey, useKey } from "../api/key";

/** Asks for an API key, and keeps it for this tab. */
export function KeyForm({ reason }: { reason?: string }) {
  const stored = useKey();
  const [key, setKey] = useState("");
  const client = useQueryClient();
  const id = useId();

  function use(value: string | null) {
    storeKey(value);
    void client.resetQueries();
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    if (key.trim()) use(key.trim());
  }

  return (
    <form className="card key-form" onSubmit={submit}>
      <h2>API key</h2>
      {reason && <p>{stored === null ? "This service needs an API key." : reason}</p>}
      <label htmlFor={id}>Key</label>
      <div className="row">
        <input
          id={id}
          type="password"
          autoComplete="off"
          placeholder="sqz_…"
          value={key}
          onChange={(event) => setKey(event.target.value)}
          aria-describedby={`${id}-note`}
        />
        <button type="submit" className="primary">
          Use key
        </button>
        {stored !== null && (
          <button type="button" onClick={() => use(null)}>
            Forget key
          </button>
        )}
      </div>
      <p className="fine" id={`${id}-note`}>
        It is kept in this tab until you close it. <code>squeeze keys create</code> makes one.
      </p>
    </form>
  );
}
