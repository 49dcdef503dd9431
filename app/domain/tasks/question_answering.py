from app.domain.tasks.record import Columns, Metric, TaskRecord

RECORD = TaskRecord(
    columns=Columns(inputs=("question", "context"), target="answers"),
    columns_help="`question`, `context`, `answers`: `text` and `answer_start` as in SQuAD, empty where the "
    "context has none; or texts alone, which are looked for",
    answering="span",
    head="span",
    outputs="span",
    networks=("encoder",),
    # The last is of questions that have an answer, where the model has to give one.
    metrics=(
        Metric("f1", selects=True),
        Metric("exact_match", selects=True),
        Metric("answerable_f1", selects=True),
    ),
    judged_by="F1 of words",
    trivial_answer="no answer",
    predictor="question_answerer",
    answer_help="the answer, which is `context[start:end]`, with its probability: "
    '`{"score": 0.91, "start": 8, "end": 12, "answer": "Oslo"}`; with `top_k` above 1 a list of such, best '
    "first; for a list of inputs, a list of these. An empty answer says that the context has none: of a "
    "model that learnt that, by a threshold that was chosen on dev. Longer contexts are read in windows that "
    "overlap.",
    answer_example='{"score": 0.91, "start": 8, "end": 12, "answer": "Oslo"}',
)
