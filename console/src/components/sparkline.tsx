import type { Curve } from "../api/events";
import { significant, words } from "../format";

const WIDTH = 96;
const HEIGHT = 22;

export function Sparkline({ curve }: { curve: Curve | undefined }) {
  if (!curve) return null;
  const steps = curve.points.map(([step]) => step);
  const values = curve.points.map(([, value]) => value);
  const place = (value: number, all: number[], length: number) => {
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return 2 + ((value - low) / (high - low || 1)) * (length - 4);
  };
  const points = curve.points.map(
    ([step, value]) => `${place(step, steps, WIDTH).toFixed(1)},${(HEIGHT - place(value, values, HEIGHT)).toFixed(1)}`,
  );
  const name = `${words(curve.name)} from ${significant(values[0])} to ${significant(values.at(-1))}`;
  return (
    <svg className="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} role="img" aria-label={name}>
      <title>{name}</title>
      <polyline points={points.join(" ")} />
    </svg>
  );
}
