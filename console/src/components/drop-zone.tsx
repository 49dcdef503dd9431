import { type DragEvent, useId, useRef, useState } from "react";

export interface Dropped {
  /** With the folders that it lies in, from the one that was given. */
  path: string;
  file: File;
}

/** Takes files and folders, dropped or chosen. */
export function DropZone({ about, folders, onFiles }: { about: string; folders?: boolean; onFiles: (files: Dropped[]) => void }) {
  const [isOver, setOver] = useState(false);
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const id = useId();

  function drop(event: DragEvent) {
    event.preventDefault();
    setOver(false);
    // Both are there only while the event is handled.
    const items = [...event.dataTransfer.items].map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
    const found = items.map(({ entry, file }) => (entry ? within(entry) : file ? [{ path: file.name, file }] : []));
    void Promise.all(found).then((files) => onFiles(files.flat()));
  }

  function choose(list: FileList | null) {
    onFiles([...(list ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
  }

  return (
    <div
      className={isOver ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <p id={id}>{about}</p>
      <div className="row">
        <button type="button" onClick={() => files.current?.click()} aria-describedby={id}>
          Choose files
        </button>
        {folders && (
          <button type="button" onClick={() => folder.current?.click()} aria-describedby={id}>
            Choose a folder
          </button>
        )}
      </div>
      <input ref={files} type="file" multiple hidden aria-label="Files" onChange={({ target }) => choose(target.files)} />
      {folders && (
        <input
          ref={(input) => {
            folder.current = input;
            input?.setAttribute("webkitdirectory", "");
          }}
          type="file"
          hidden
          aria-label="Folder"
          onChange={({ target }) => choose(target.files)}
        />
      )}
    </div>
  );
}

async function within(entry: FileSystemEntry): Promise<Dropped[]> {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path, file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: Dropped[] = [];
  // A reader gives a hundred entries at a time, and none at the end.
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return found;
    found.push(...(await Promise.all(entries.map(within))).flat());
  }
}
