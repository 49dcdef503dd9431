/** Text of the API's description, in which code stands between backticks. */
export function Marked({ text = "" }: { text?: string }) {
  return <>{text.split("`").map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</>;
}
