import { useState } from "react";

/** Code to be copied. */
export function Code({ label, text }: { label: string; text: string }) {
  const [copied, setCopied] = useState(false);

  async function copy() {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  }

  return (
    <figure className="code">
      <figcaption>
        {label}
        {navigator.clipboard && (
          <button type="button" className="small" onClick={() => void copy()} aria-label={`Copy ${label}`}>
            {copied ? "Copied" : "Copy"}
          </button>
        )}
      </figcaption>
      <pre tabIndex={0} role="region" aria-label={label}>
        <code>{text}</code>
      </pre>
    </figure>
  );
}
