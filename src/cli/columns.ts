/*
 * Tables for people: a line of heads, then a line a row, in columns as wide as what is in them. Before it: what prints tables. Pure.
 */

/** Head and cells of a column. Numbers stand to the right, text to the left. */
export interface Column<Row> {
  readonly head: string;
  readonly cell: (row: Row) => string;
  readonly isText?: boolean;
}

/** The lines of a table, heads first. */
export function tableLines<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const filled = columns.map(({ head, cell, isText = false }) => {
    const cells = [head, ...rows.map(cell)];
    const width = Math.max(...cells.map((text) => text.length));
    return cells.map((text) => (isText ? text.padEnd(width) : text.padStart(width)));
  });
  return Array.from({ length: rows.length + 1 }, (_, row) =>
    filled
      .map((cells) => cells[row])
      .join('  ')
      .trimEnd(),
  );
}
