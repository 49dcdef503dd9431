import { idempotencyKey } from "./client";
import { authorization } from "./key";
import { Problem, problemOf } from "./problem";

/** Sends a form; unlike fetch, it tells how much of it has been sent. */
export function sendForm<T>(path: string, form: FormData, onProgress: (share: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "json";
    const headers = { ...authorization(), "Idempotency-Key": idempotencyKey() };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onerror = () => reject(new Problem(0, "not_reachable", "The API broke the connection off. Try again."));
    request.onload = () => {
      if (request.status < 300) resolve(request.response as T);
      else reject(problemOf(request.status, request.response));
    };
    request.send(form);
  });
}
