import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { asProblem } from "../api/problem";
import { KeyForm } from "./key-form";

export function ProblemBox({ error }: { error: unknown }) {
  const problem = asProblem(error);
  const others = problem.faults.filter(({ detail }) => detail !== problem.message);
  return (
    <div className="problem" role="alert">
      <p>{problem.message}</p>
      {others.length > 0 && (
        <ul>
          {others.map((fault, index) => (
            <li key={index}>
              {fault.pointer && <code>{fault.pointer.replace("#/", "")}</code>} {fault.detail}
            </li>
          ))}
        </ul>
      )}
      {problem.requestId && (
        <p className="fine">
          Request <code>{problem.requestId}</code>
        </p>
      )}
    </div>
  );
}

/** What a query answered, once it has; until then that it is asked, and why it failed. */
export function Loaded<T>({ query, children }: { query: UseQueryResult<T>; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.isError) return <Failed error={query.error} />;
  return <Loading />;
}

export function Loading() {
  return (
    <p className="empty" role="status">
      Loading …
    </p>
  );
}

export function Failed({ error }: { error: unknown }) {
  return asProblem(error).needsKey ? <KeyForm reason={asProblem(error).message} /> : <ProblemBox error={error} />;
}
