import type { Curve } from "../api/events";
import { Empty, Section } from "../components/layout";
import { Plot } from "../components/plot";
import { capitalized, words } from "../format";

const TITLES: Record<string, string> = { loss: "Training loss", dev_quality: "Quality on dev" };

/** A chart for each value, with a line for each stage that measured it. */
export function Curves({ curves, isLive }: { curves: Curve[]; isLive?: boolean }) {
  const names = [...new Set(curves.map(({ name }) => name))].sort((a, b) => rank(a) - rank(b));
  return (
    <Section title="Training">
      {names.length === 0 ? (
        <Empty>{isLive ? "No values yet: they come with the first steps." : "No values were measured more than once."}</Empty>
      ) : (
        <div className="plots">
          {names.map((name) => (
            <Plot
              key={name}
              title={TITLES[name] ?? capitalized(words(name))}
              x={{ name: "step" }}
              y={{ name: words(name) }}
              series={curves
                .filter((curve) => curve.name === name)
                .map(({ stage, points }) => ({ name: words(stage), points }))}
            />
          ))}
        </div>
      )}
    </Section>
  );
}

function rank(name: string): number {
  const place = Object.keys(TITLES).indexOf(name);
  return place < 0 ? Object.keys(TITLES).length : place;
}
