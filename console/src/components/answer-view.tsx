import { percent, significant } from "../format";
import { Bars } from "./bars";
import { Empty } from "./layout";

interface Scored {
  label: string;
  score: number;
  passes?: boolean;
}

interface Span {
  start: number;
  end: number;
  name: string;
  score: number;
}

const MOST = 12;

/** What a model answered, as its task is best seen. */
export function AnswerView({ task, input, answer }: { task: string; input: string | Record<string, string>; answer: unknown }) {
  switch (task) {
    case "text_classification":
    case "multi_label_classification":
      return <Probabilities scores={first<Scored[]>(answer)} />;
    case "text_regression":
      return <p className="big">{significant(first<Scored[]>(answer)[0]?.score, 4)}</p>;
    case "token_classification":
      return <Entities text={String(input)} entities={answer as { entity_group: string; score: number; start: number; end: number }[]} />;
    case "question_answering":
      return <Found context={(input as Record<string, string>)["context"] ?? ""} answer={answer as { answer: string; score: number; start: number; end: number }} />;
    case "masked_language_modeling":
      return <Bars bars={(answer as { token_str: string; score: number }[]).map(({ token_str, score }) => ({ name: token_str, share: score, text: percent(score, 1) }))} />;
    case "translation":
      return <p className="text big">{first<{ translation_text: string }>(answer).translation_text}</p>;
    case "sentence_embedding":
      return <Similarities texts={String(input).split("\n").filter((line) => line.trim())} vectors={answer as number[][]} />;
    default:
      return <pre tabIndex={0}>{JSON.stringify(answer, null, 2)}</pre>;
  }
}

/** Of a single input the answer may stand alone or in a list. */
function first<T>(answer: unknown): T {
  const [one] = answer as [T | Scored];
  return (Array.isArray(one) || !("label" in (one as object)) ? one : answer) as T;
}

function Probabilities({ scores }: { scores: Scored[] }) {
  const shown = scores.slice(0, MOST);
  return (
    <>
      <Bars
        bars={shown.map(({ label, score, passes }, index) => ({
          name: label,
          share: score,
          text: percent(score, 1) + (passes ? " ✓" : ""),
          isMarked: passes ?? index === 0,
        }))}
      />
      {scores.length > shown.length && <p className="fine">{scores.length - shown.length} more labels</p>}
    </>
  );
}

function Entities({ text, entities }: { text: string; entities: { entity_group: string; score: number; start: number; end: number }[] }) {
  const spans = entities.map(({ entity_group, ...span }) => ({ ...span, name: entity_group }));
  return (
    <>
      <Highlighted text={text} spans={spans} />
      {spans.length === 0 && <Empty>No entities.</Empty>}
    </>
  );
}

function Found({ context, answer }: { context: string; answer: { answer: string; score: number; start: number; end: number } }) {
  if (!answer.answer) return <Empty>No answer in this context ({percent(answer.score, 1)}).</Empty>;
  return (
    <>
      <p className="big text">{answer.answer}</p>
      <Highlighted text={context} spans={[{ ...answer, name: "answer" }]} />
    </>
  );
}

/** The text with its spans marked. The service counts characters, where JavaScript counts UTF-16 units. */
function Highlighted({ text, spans }: { text: string; spans: Span[] }) {
  const characters = Array.from(text);
  const kinds = [...new Set(spans.map(({ name }) => name))];
  const parts: React.ReactNode[] = [];
  let at = 0;
  for (const { start, end, name, score } of [...spans].sort((a, b) => a.start - b.start)) {
    parts.push(characters.slice(at, start).join(""));
    parts.push(
      <mark key={start} className={`span-${kinds.indexOf(name) % 5}`}>
        {characters.slice(start, end).join("")}
        <span className="span-name">
          {" "}
          {name} {percent(score)}
        </span>
      </mark>,
    );
    at = end;
  }
  return (
    <p className="text spans">
      {parts}
      {characters.slice(at).join("")}
    </p>
  );
}

/** How near texts are: cosines of their vectors. */
function Similarities({ texts, vectors }: { texts: string[]; vectors: number[][] }) {
  if (texts.length < 2) {
    return (
      <>
        <p>{vectors[0]?.length} dimensions. A second line shows how near two texts are.</p>
        <p className="fine">{vectors[0]?.slice(0, 8).map((value) => value.toFixed(3)).join(", ")} …</p>
      </>
    );
  }
  const [anchor, ...others] = vectors;
  return (
    <>
      <p className="fine">Cosine with “{texts[0]}”</p>
      <Bars
        bars={others.map((vector, index) => {
          const near = cosine(anchor!, vector);
          return { name: texts[index + 1]!, share: Math.max(0, near), text: near.toFixed(3) };
        })}
      />
    </>
  );
}

function cosine(one: number[], other: number[]): number {
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, index) => sum + value * b[index]!, 0);
  return dot(one, other) / (Math.sqrt(dot(one, one) * dot(other, other)) || 1);
}
