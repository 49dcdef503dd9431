import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { asProblem } from "../api/problem";
import { KeyForm } from "./key-form";
import { Page } from "./layout";

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

/** What a query answered, once it has; until then that it is asked, and why it failed, under a title if it is a page. */
export function Loaded<T>({ query, title, children }: {
  query: UseQueryResult<T>;
  title?: string;
  children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  const state = query.isError ? <Failed error={query.error} /> : <Loading />;
  return title ? <Page title={title}>{state}</Page> : state;
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
