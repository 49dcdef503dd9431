import type { Model } from "../api/types";
import { metric, significant, words } from "../format";

/** What a report compares. */
export const COMPARED: Record<string, string> = {
  teacher: "teacher",
  student: "student",
  onnx_fp32: "student, ONNX fp32",
  onnx_int8: "student, ONNX int8",
  without_distillation: "student without distillation",
  from_scratch: "student from scratch",
  tfidf: "TF-IDF and logistic regression",
  trivial: "constant answer",
};

export function GateResult({ gate }: { gate: NonNullable<Model["gate"]> }) {
  if (gate.failures.length === 0) return <p>The student passes on {gate.split}.</p>;
  return (
    <>
      <ul>
        {gate.failures.map(({ condition, model, required, measured }) => (
          <li key={`${condition} ${model}`}>
            {COMPARED[model] ?? model} misses {words(condition)} {significant(required)}: {measured == null ? "not measured" : metric(measured)}
          </li>
        ))}
      </ul>
      <p>{gate.release ? `Released by ${gate.release.by}: ${gate.release.reason}` : "It is not served until it is released."}</p>
    </>
  );
}
