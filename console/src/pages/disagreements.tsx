import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";

import { finishedJobsQuery, modelsQuery, nameOf, reportQuery } from "../api/queries";
import type { Disagreement, Report } from "../api/types";
import { Bars } from "../components/bars";
import { Choice } from "../components/choice";
import { Empty, Page, Section } from "../components/layout";
import { Loaded } from "../components/state";
import { Badge } from "../components/status";
import { capitalized, counted, methodName, moment, percent } from "../format";

const ANY = "";

/** Where teacher and student differ: by class and confidence, with both answers. */
export default function Disagreements() {
  const jobs = useQuery(finishedJobsQuery);
  const models = useQuery(modelsQuery).data?.data;
  const [search, setSearch] = useSearchParams();
  return (
    <Page title="Disagreements" lead="Texts that teacher and student answer differently, the most different first.">
      <Loaded query={jobs}>
        {(data) => {
          const compared = data.filter(({ student, metrics }) => student && metrics.teacher);
          const id = search.get("job") ?? compared[0]?.id;
          if (!id) return <Empty>No job with a teacher has succeeded yet.</Empty>;
          return (
            <>
              <Choice
                label="Job"
                value={id}
                onChange={(job) => setSearch({ job })}
                options={compared.map((job) => [job.id, `${nameOf(job.student!, models)} · ${methodName(job.method.name)} · ${moment(job.created_at)}`])}
              />
              <OfJob key={id} id={id} />
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}

function OfJob({ id }: { id: string }) {
  const report = useQuery(reportQuery(id));
  return <Loaded query={report}>{(data) => <Browser report={data} />}</Loaded>;
}

function Browser({ report }: { report: Report }) {
  const [search, setSearch] = useSearchParams();
  const splits = Object.entries(report.comparison?.splits ?? {});
  const name = search.get("split") ?? splits.find(([, { disagreements }]) => disagreements.length > 0)?.[0] ?? splits[0]?.[0];
  const all = splits.find(([split]) => split === name)?.[1].disagreements ?? [];
  const of = (field: string) => search.get(field) ?? ANY;
  const set = (field: string) => (value: string) =>
    setSearch((before) => {
      const after = new URLSearchParams(before);
      if (value === ANY) after.delete(field);
      else after.set(field, value);
      after.set("job", report.job);
      return after;
    });
  const least = Number(of("confidence") || 0);
  const shown = all.filter(
    (one) =>
      (of("label") === ANY || one.label === of("label")) &&
      (of("answer") === ANY || one.student.answer === of("answer")) &&
      (of("right") === ANY || rightOf(one) === of("right")) &&
      (least === 0 || (one.student.probability ?? 1) >= least),
  );
  const distinct = (values: (string | null)[]) => [...new Set(values.filter((value) => value !== null))].sort();
  return (
    <>
      <div className="fields">
        <Choice label="Split" value={name ?? ANY} onChange={set("split")} options={splits.map(([split]) => [split, split])} />
        <Choice label="Label" value={of("label")} onChange={set("label")} options={[[ANY, "any"], ...distinct(all.map(({ label }) => label)).map((one) => [one, one] as [string, string])]} />
        <Choice label="Student's answer" value={of("answer")} onChange={set("answer")} options={[[ANY, "any"], ...distinct(all.map(({ student }) => student.answer)).map((one) => [one, one] as [string, string])]} />
        <Choice label="Who is right" value={of("right")} onChange={set("right")} options={[[ANY, "any"], ["teacher", "the teacher"], ["student", "the student"], ["neither", "neither"]]} />
        <Choice label="Student is sure" value={of("confidence")} onChange={set("confidence")} options={[[ANY, "any"], ["0.5", "50 % or more"], ["0.7", "70 % or more"], ["0.9", "90 % or more"]]} />
      </div>
      <Section title={`${shown.length} of ${counted(all.length, "text")}`} note="Reports keep the 20 of a split that differ most.">
        {all.length === 0 ? (
          <Empty>Teacher and student give the same answers on this split.</Empty>
        ) : shown.length === 0 ? (
          <Empty>No text fits these filters.</Empty>
        ) : (
          <ul className="plain differing">
            {shown.map((one) => (
              <li key={one.row}>
                <p className="text">{one.text}</p>
                <p className="fine">
                  row {one.row}
                  {one.label !== null && (
                    <>
                      {" · label "}
                      <strong>{one.label}</strong>
                    </>
                  )}
                </p>
                <Answers disagreement={one} />
              </li>
            ))}
          </ul>
        )}
      </Section>
      <p className="more">
        <Link href={`/jobs/${report.job}/report`}>The job's report</Link>
        {" · "}
        <Link href={`/playground?left=${report.student.id}${report.teacher ? `&right=${report.teacher.id}` : ""}`}>Try both models</Link>
      </p>
    </>
  );
}

function rightOf({ label, teacher, student }: Disagreement): string {
  if (label === null) return "unknown";
  return teacher.answer === label ? "teacher" : student.answer === label ? "student" : "neither";
}

function Answers({ disagreement: { label, teacher, student } }: { disagreement: Disagreement }) {
  const given = { teacher, student };
  return (
    <div className="columns">
      {Object.entries(given).map(([who, { answer, probability }]) => (
        <div key={who}>
          <h3>
            {capitalized(who)} {label !== null && <Badge status={answer === label ? "succeeded" : "failed"} text={answer === label ? "right" : "wrong"} />}
          </h3>
          {probability == null ? <p className="text">{answer}</p> : <Bars bars={[{ name: answer, share: probability, text: percent(probability, 1) }]} />}
        </div>
      ))}
    </div>
  );
}
