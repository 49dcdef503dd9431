import { Zip, ZipPassThrough } from "fflate";

import type { Dropped } from "./components/drop-zone";

/** A folder's files in one archive, read piece by piece. Weights hardly become smaller: they are stored as they are. */
export async function zipped(files: Dropped[]): Promise<Blob> {
  const parts: BlobPart[] = [];
  let fail: unknown = null;
  const archive = new Zip((error, part) => {
    fail ??= error;
    if (part) parts.push(part as Uint8Array<ArrayBuffer>);
  });
  for (const { path, file } of files) {
    const entry = new ZipPassThrough(path);
    archive.add(entry);
    const reader = file.stream().getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) entry.push(part.value);
    entry.push(new Uint8Array(), true);
  }
  archive.end();
  if (fail !== null) throw fail;
  return new Blob(parts, { type: "application/zip" });
}
