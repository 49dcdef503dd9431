import { type ReactNode, useMemo, useState } from "react";

import { Scroller } from "./scroller";

export interface Column<T> {
  name: string;
  /** Numbers stand on the right. */
  number?: boolean;
  cell: (row: T) => ReactNode;
  /** By which the column can be sorted. */
  order?: (row: T) => number | string | null | undefined;
}

/** A table that becomes a list of cards where there is no room for its columns. */
export function Table<T>({ caption, columns, rows, keyOf }: {
  caption: string;
  columns: Column<T>[];
  rows: T[];
  keyOf: (row: T, index: number) => string;
}) {
  const [sorting, setSorting] = useState<{ name: string; down: boolean } | null>(null);
  const sorted = useMemo(() => {
    const order = columns.find((column) => column.name === sorting?.name)?.order;
    if (!order || !sorting) return rows;
    const sign = sorting.down ? -1 : 1;
    return [...rows].sort((one, other) => sign * compare(order(one), order(other)));
  }, [rows, columns, sorting]);
  return (
    <Scroller name={caption}>
      <table>
        <caption className="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ name, number, order }) => {
              const isSorted = sorting?.name === name;
              return (
                <th
                  key={name}
                  scope="col"
                  className={number ? "number" : undefined}
                  aria-sort={isSorted ? (sorting.down ? "descending" : "ascending") : undefined}
                >
                  {order ? (
                    <button className="sort" onClick={() => setSorting({ name, down: isSorted && !sorting.down })}>
                      {name}
                      <span aria-hidden="true">{isSorted ? (sorting.down ? " ↓" : " ↑") : ""}</span>
                    </button>
                  ) : (
                    name
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {sorted.map((row, index) => (
            <tr key={keyOf(row, index)}>
              {columns.map(({ name, number, cell }) => (
                <td key={name} data-name={name} className={number ? "number" : undefined}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroller>
  );
}

/** What is missing comes last. */
function compare(one: number | string | null | undefined, other: number | string | null | undefined): number {
  if (one == null || other == null) return one == null ? (other == null ? 0 : 1) : -1;
  return one < other ? -1 : one > other ? 1 : 0;
}
