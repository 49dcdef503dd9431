from app.domain.tasks.record import Columns, Metric, TaskRecord

RECORD = TaskRecord(
    columns=Columns(inputs=("text",), target="label", pair="text_pair"),
    columns_help="`text`, `text_pair`?, `label`",
    answering="text",
    head="text",
    outputs="labels",
    networks=("encoder", "bilstm", "tfidf"),
    metrics=(
        Metric("accuracy", selects=True),
        Metric("macro_f1", selects=True),
        Metric("f1", selects=True, needs_labels=2),
        Metric("matthews", selects=True),
    ),
    judged_by="accuracy",
    trivial_answer="the most frequent label",
    predictor="classifier",
    answer_help="a list of labels per input, best first, with softmax scores: "
    '`[[{"label": "positive", "score": 0.98}, {"label": "negative", "score": 0.02}]]`.',
    answer_example='[{"label": "positive", "score": 0.98}, ...]',
    problem_type="single_label_classification",
    scoring="distribution",
    cascades=True,
)
