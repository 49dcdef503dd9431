import type { Plan, SearchPlan } from "../api/types";
import { bytes, count, duration, ms, shape, short, significant, words } from "../format";
import { Facts, Tiles } from "./layout";
import { Table } from "./table";

export function PlanView({ plan }: { plan: Plan | SearchPlan }) {
  return plan.object === "plan" ? <JobPlanView plan={plan} /> : <SearchPlanView plan={plan} />;
}

function JobPlanView({ plan: { student, estimate, teacher, teacher_scores } }: { plan: Plan }) {
  const { budget } = student;
  const parameters = Object.values(student.parameters).reduce((sum, part) => sum + part, 0);
  const notes = [...(student.advice ?? []).map(({ message }) => message), ...(teacher_scores?.notes ?? [])];
  return (
    <>
      <Tiles
        tiles={[
          ["Parameters", short(parameters), student.compression_ratio ? `${significant(student.compression_ratio)} times fewer` : null],
          ["Size, int8", bytes((student.size_mb["int8"] ?? 0) * 1e6), `fp32 ${bytes((student.size_mb["fp32"] ?? 0) * 1e6)}`],
          ["Time", duration(estimate.seconds), estimate.measured_jobs ? `by ${estimate.measured_jobs} jobs` : "rough: none measured"],
          ["Memory", bytes(estimate.peak_memory_mb * 1e6)],
        ]}
      />
      <Facts
        facts={[
          ["Student", `${student.architecture.family}, ${shape(student.shape)}`],
          ...(teacher ? [["Teacher", `${teacher.architecture}, ${shape(teacher.shape)}, ${short(teacher.parameters)}`] as [string, string]] : []),
          ...(student.latency_ms != null ? [["Latency", ms(student.latency_ms)] as [string, string]] : []),
          ["Steps", count(estimate.steps)],
        ]}
      />
      <Shares
        name="Parameters"
        shares={[
          ["embeddings", budget.embeddings],
          ["encoder", budget.encoder],
          ["decoder", budget.decoder],
          ["head", budget.head],
          ["unused", budget.unused],
        ]}
      />
      <Shares name="Time" shares={estimate.stages.map(({ stage, seconds }) => [words(stage), seconds / estimate.seconds])} />
      {notes.map((note) => (
        <p key={note} className="warning">
          {note}
        </p>
      ))}
    </>
  );
}

/** Parts of a whole in one bar, named below it. */
function Shares({ name, shares }: { name: string; shares: [string, number][] }) {
  const shown = shares.filter(([, share]) => share >= 0.005);
  return (
    <figure className="shares">
      <figcaption>{name}</figcaption>
      <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        {shown.map(([part, share], index) => (
          <rect
            key={index}
            className={part === "unused" ? "series-unused" : `series-${index % 6}`}
            x={shown.slice(0, index).reduce((sum, [, before]) => sum + before, 0) * 100}
            width={share * 100}
            height="4"
          />
        ))}
      </svg>
      <ul className="legend">
        {shown.map(([part, share], index) => (
          <li key={index}>
            <i className={part === "unused" ? "series-unused" : `series-${index % 6}`} aria-hidden="true" />
            {part} {(share * 100).toFixed(0)} %
          </li>
        ))}
      </ul>
    </figure>
  );
}

function SearchPlanView({ plan }: { plan: SearchPlan }) {
  return (
    <>
      <Tiles
        tiles={[
          ["Trials", plan.trials, `${plan.full_runs} of them in full`],
          ["Worker time", duration(plan.worker_minutes * 60)],
          ["Time", duration(plan.minutes * 60), "on the workers that are there"],
        ]}
      />
      <details>
        <summary>{plan.candidates.length} candidates</summary>
        <Table
          caption="Candidates"
          keyOf={(_, index) => String(index)}
          rows={plan.candidates}
          columns={[
            { name: "Method", cell: ({ method }) => words(method) },
            { name: "Parameters", number: true, cell: ({ parameters }) => short(parameters), order: ({ parameters }) => parameters },
            { name: "int8", number: true, cell: ({ size_mb }) => bytes((size_mb["int8"] ?? 0) * 1e6) },
            { name: "Full run", number: true, cell: ({ seconds }) => duration(seconds), order: ({ seconds }) => seconds },
          ]}
        />
      </details>
    </>
  );
}
