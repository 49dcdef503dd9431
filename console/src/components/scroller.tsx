import { type ReactNode, useEffect, useRef, useState } from "react";

/** What may be wider than the page: it scrolls by itself, by keyboard too, but is no stop of the tab key where all of it is seen. */
export function Scroller({ name, children }: { name: string; children: ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  const [isCut, setCut] = useState(false);
  useEffect(() => {
    const { current } = box;
    const observer = new ResizeObserver(() => setCut(current!.scrollWidth > current!.clientWidth));
    observer.observe(current!);
    observer.observe(current!.firstElementChild!);
    return () => observer.disconnect();
  }, []);
  return (
    <div ref={box} className="table" role="region" aria-label={name} tabIndex={isCut ? 0 : undefined}>
      {children}
    </div>
  );
}
