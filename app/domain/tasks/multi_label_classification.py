from app.domain.tasks.record import Columns, Metric, TaskRecord

RECORD = TaskRecord(
    columns=Columns(inputs=("text",), target="labels", pair="text_pair"),
    columns_help="`text`, `text_pair`?, `labels`: a list, which may be empty; in .csv and .tsv a JSON list",
    answering="text",
    head="text",
    outputs="labels",
    networks=("encoder", "tfidf"),
    metrics=(
        Metric("micro_f1", selects=True),
        Metric("macro_f1", selects=True),
        Metric("label_ranking_average_precision", selects=True),
    ),
    judged_by="micro F1",
    trivial_answer="the most frequent labels",
    predictor="multi_label_classifier",
    answer_help="a list of labels per input, best first, each with a sigmoid score and whether it reaches "
    "the label's threshold, which was chosen on dev: "
    '`[[{"label": "joy", "score": 0.7, "passes": true}, {"label": "fear", "score": 0.1, "passes": false}]]`.',
    answer_example='[{"label": "joy", "score": 0.71, "passes": true}, ...]',
    problem_type="multi_label_classification",
    names_problem_type=True,
    scoring="per_label",
)
