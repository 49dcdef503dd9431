import { useQuery } from "@tanstack/react-query";
import schemas from "virtual:job-schemas";

import { answer, api } from "../api/client";
import type { Job } from "../api/types";
import { Section } from "../components/layout";
import { PlanView } from "../components/plan-view";
import { Loaded } from "../components/state";

const DEFAULTS = schemas["TrainingSpec"]?.properties ?? {};

/** What would come of the job's request now. */
export function JobPlan({ job }: { job: Job }) {
  const { teacher, dataset, method, target, exports, controls, gate, teacher_weights } = job;
  // Defaults are left to the service, which has others where they do not fit a teacher.
  const training = given(job.training, (name, value) => value !== DEFAULTS[name]?.default);
  const spec = given({ teacher, dataset, method, target, training, exports, controls, gate, teacher_weights });
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

function given(values: object, isWanted = (_name: string, _value: unknown) => true): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => value != null && isWanted(name, value)));
}
