from app.domain.tasks.record import Columns, Metric, TaskRecord

RECORD = TaskRecord(
    columns=Columns(inputs=("text",), target=None),
    columns_help="`text`",
    answering="token",
    head="word",
    outputs="vocabulary",
    networks=("encoder",),
    metrics=(Metric("accuracy", selects=True), Metric("loss", higher_is_better=False)),
    judged_by="accuracy of hidden words",
    trivial_answer="the most frequent token",
    predictor="fill_mask",
    answer_help="words for the mask token, which each text must contain exactly once, best first: "
    '`[{"score": 0.5, "token": 2003, "token_str": "is", "sequence": "this is it."}]`; for a list of '
    "inputs, a list of such lists.",
    answer_example='[{"token_str": "film", "sequence": "...", "score": 0.4}, ...]',
    masks_inputs=True,
)
