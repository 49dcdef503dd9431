import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Router } from "wouter";

import { asProblem } from "./api/problem";
import { App } from "./app";
import "./style/index.css";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // What the API refuses, it refuses again.
      retry: (failures, error) => failures < 2 && [0, 503].includes(asProblem(error).status),
      staleTime: 2000,
    },
  },
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <Router base="/console">
        <App />
      </Router>
    </QueryClientProvider>
  </StrictMode>,
);
