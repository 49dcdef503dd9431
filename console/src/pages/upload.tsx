import { Link, useLocation } from "wouter";

import { Page } from "../components/layout";
import { DatasetUpload } from "./upload-dataset";
import { ModelUpload } from "./upload-model";

const KINDS = [["model", "Model"], ["dataset", "Data set"]] as const;

export default function Upload({ params }: { params: { kind?: string } }) {
  const [, go] = useLocation();
  const kind = params.kind === "dataset" ? "dataset" : "model";
  return (
    <Page title="Upload">
      <nav className="tabs" aria-label="What to upload">
        {KINDS.map(([path, name]) => (
          <Link key={path} href={`/upload/${path}`} aria-current={path === kind ? "page" : undefined}>
            {name}
          </Link>
        ))}
      </nav>
      {kind === "model" ? <ModelUpload onDone={(id) => go(`/models/${id}`)} /> : <DatasetUpload onDone={(id) => go(`/datasets/${id}`)} />}
    </Page>
  );
}
