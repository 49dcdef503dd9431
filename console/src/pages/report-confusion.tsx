import type { Report } from "../api/types";
import { Section } from "../components/layout";
import { Scroller } from "../components/scroller";

type Counts = NonNullable<NonNullable<Report["comparison"]>["splits"][string]["confusion"]>;

/** Rows are labels, columns the student's answers; the darker, the larger the share of the label's rows. */
export function Confusion({ confusion: { labels, counts, of } }: { confusion: Counts }) {
  const some = of > labels.length ? ` The ${labels.length} of ${of} labels that are confused most.` : "";
  return (
    <Section title="Confusion" note={`Rows are labels, columns the student's answers.${some}`}>
      <Scroller name="Confusion">
        <table className="confusion">
          <thead>
            <tr>
              <th scope="col">Label</th>
              {labels.map((label) => (
                <th key={label} scope="col">
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {counts.map((row, index) => {
              const sum = row.reduce((total, value) => total + value, 0) || 1;
              return (
                <tr key={labels[index]}>
                  <th scope="row">{labels[index]}</th>
                  {row.map((value, column) => (
                    <td key={column} className={`heat-${Math.ceil((value / sum) * 5)}${column === index ? " is-right" : ""}`}>
                      {value}
                    </td>
                  ))}
                </tr>
              );
            })}
          </tbody>
        </table>
      </Scroller>
    </Section>
  );
}
