import { useQuery } from "@tanstack/react-query";

import { answer, api } from "../api/client";
import type { Job } from "../api/types";
import { Section } from "../components/layout";
import { PlanView } from "../components/plan-view";
import { Loaded } from "../components/state";

/** What would come of the job's request now. */
export function JobPlan({ job }: { job: Job }) {
  const { teacher, dataset, method, target, training, exports, controls, gate, teacher_weights } = job;
  const given = { teacher, dataset, method, target, training, exports, controls, gate, teacher_weights };
  const spec = Object.fromEntries(Object.entries(given).filter(([, value]) => value != null));
  const plan = useQuery({
    queryKey: ["plans", job.id],
    queryFn: () => answer(api.POST("/v1/plans", { body: spec as never })),
    staleTime: Infinity,
  });
  return (
    <Section title="Plan" note="Of the same request now: estimates go by what jobs have taken since.">
      <Loaded query={plan}>{(data) => <PlanView plan={data} />}</Loaded>
    </Section>
  );
}
