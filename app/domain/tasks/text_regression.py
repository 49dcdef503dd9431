from app.domain.tasks.record import Columns, Metric, TaskRecord

RECORD = TaskRecord(
    columns=Columns(inputs=("text",), target="score", pair="text_pair", target_alias="label"),
    columns_help="`text`, `text_pair`?, `score` (or else `label`): a finite number",
    answering="text",
    head="text",
    outputs="number",
    networks=("encoder",),
    metrics=(
        Metric("spearman", selects=True),
        Metric("pearson", selects=True),
        Metric("mse", higher_is_better=False),
    ),
    judged_by="Spearman",
    trivial_answer="a constant",
    predictor="regressor",
    answer_help="the same form with one number, on the scale of the data set: "
    '`[[{"label": "score", "score": 4.2}]]`.',
    answer_example='[{"label": "score", "score": 4.2}]',
    problem_type="regression",
    names_problem_type=True,
    scoring="number",
)
