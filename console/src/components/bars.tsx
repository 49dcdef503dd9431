interface Bar {
  name: string;
  /** Of the bar's length, from 0 to 1. */
  share: number;
  text: string;
  isMarked?: boolean;
}

/** Named bars, such as probabilities. */
export function Bars({ bars }: { bars: Bar[] }) {
  return (
    <ul className="bars">
      {bars.map(({ name, share, text, isMarked }) => (
        <li key={name} className={isMarked ? "is-marked" : undefined}>
          <span className="bar-name">{name}</span>
          <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
            <rect width={Math.max(0, Math.min(1, share)) * 100} height="8" />
          </svg>
          <span className="bar-text">{text}</span>
        </li>
      ))}
    </ul>
  );
}
