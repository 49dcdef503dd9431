import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import { datasetQuery } from "../api/queries";
import { DatasetView } from "../components/dataset-view";
import { Page } from "../components/layout";
import { Loaded } from "../components/state";
import { bytes, moment, words } from "../format";

export default function DatasetPage({ params }: { params: { id: string } }) {
  const dataset = useQuery(datasetQuery(params.id));
  return (
    <Loaded query={dataset} title="Data set">
      {(data) => (
        <Page
          title={data.name}
          lead={
            <>
              {words(data.task)} · {bytes(data.size_bytes)} · {moment(data.created_at)} · <code>{data.id}</code>
            </>
          }
          actions={
            <Link className="button primary" href={`/jobs/new?dataset=${data.id}`}>
              Train on it
            </Link>
          }
        >
          <DatasetView dataset={data} />
        </Page>
      )}
    </Loaded>
  );
}
