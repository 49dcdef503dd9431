import { readFileSync } from "node:fs";

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const DESCRIPTION = new URL("../tests/app/openapi.json", import.meta.url);
const API = ["/v1", "/docs", "/openapi.json"];

/** `virtual:job-schemas`: JSON Schema of a job's request, of which the form for new jobs is made. */
function jobSchemas(): Plugin {
  const name = "virtual:job-schemas";
  return {
    name,
    resolveId: (id) => (id === name ? `\0${name}` : null),
    load(id) {
      if (id !== `\0${name}`) return null;
      const { schemas } = JSON.parse(readFileSync(DESCRIPTION, "utf8")).components;
      const used: Record<string, unknown> = {};
      const take = (schema: string) => {
        if (schema in used) return;
        used[schema] = schemas[schema];
        for (const [, found] of JSON.stringify(schemas[schema]).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
          if (!found!.endsWith("Spec")) take(found!); // each method has its own schema at /v1/methods
        }
      };
      ["JobSpec", "TrainingSpec"].forEach(take);
      return `export default ${JSON.stringify(used)}`;
    },
  };
}

export default defineConfig({
  base: "/console/",
  plugins: [react(), jobSchemas()],
  build: {
    outDir: "../app/console/static",
    emptyOutDir: true,
    // Data URLs would be another source for the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // Beside `squeeze up`.
  server: { proxy: Object.fromEntries(API.map((path) => [path, "http://127.0.0.1:8000"])) },
});
