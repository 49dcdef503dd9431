import type { Job } from "../api/types";
import { duration, percent, words } from "../format";

export function Badge({ status, text }: { status: string; text?: string }) {
  return <span className={`badge ${status}`}>{text ?? words(status)}</span>;
}

export function JobStatusBadge({ job }: { job: Job }) {
  const cancelling = job.cancel_requested_at !== null && (job.status === "queued" || job.status === "running");
  return <Badge status={job.status} text={cancelling ? "cancelling" : undefined} />;
}

/** How far a job is; of one that has ended, how long it took. */
export function JobProgress({ job }: { job: Job }) {
  if (job.status === "queued") return <span className="muted">{job.status_message ?? "waits for a worker"}</span>;
  if (job.status !== "running") return <span className="muted">{duration(job.running_s)}</span>;
  const { stage, fraction, step, total_steps, eta_s } = job.progress;
  return (
    <div className="progress">
      <progress value={fraction} max={1} aria-label={`Progress of ${job.id}`} />
      <span>
        {percent(fraction)} · {words(stage ?? "starting")}
        {total_steps ? ` ${step}/${total_steps}` : ""}
        {eta_s != null ? ` · ${duration(eta_s)} left` : ""}
      </span>
    </div>
  );
}
