from app.domain.tasks.record import Columns, Metric, TaskRecord

RECORD = TaskRecord(
    columns=Columns(inputs=("text",), target=None, pair="text_pair", measure="score"),
    columns_help="`text` alone; `text`, `text_pair`, `score`: pairs that dev and test are measured by; "
    "or `text`, `text_pair`: a query and its passage",
    answering="text",
    head="vector",
    outputs="vector",
    networks=("encoder", "static"),
    metrics=(
        Metric("spearman", selects=True),
        Metric("neighbour_recall_at_10", selects=True),
        Metric("cosine"),
    ),
    judged_by="Spearman of similarities",
    trivial_answer="a constant vector",
    predictor="embedder",
    answer_help="a vector per input, a list of numbers, pooled and normalised as the model's folder says: "
    "`[[0.01, -0.12]]`; of a single input the vector alone is in the list.",
    answer_example="[0.013, -0.121, ...]",
    scoring="vector",
)
