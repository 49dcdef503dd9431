from app.domain.tasks.record import Columns, Metric, TaskRecord

RECORD = TaskRecord(
    columns=Columns(inputs=("tokens",), target="tags", unlabeled_input="text"),
    columns_help="`tokens`, `tags`: lists, or texts with items separated by spaces",
    answering="token",
    head="token",
    outputs="labels",
    networks=("encoder", "bilstm"),
    metrics=(
        Metric("f1", selects=True),
        Metric("accuracy", selects=True),
        Metric("precision"),
        Metric("recall"),
    ),
    judged_by="F1 of spans",
    trivial_answer="no entity",
    predictor="tagger",
    answer_help="named entities, which are `text[start:end]`, in the order of the text: "
    '`[{"entity_group": "LOC", "score": 0.99, "word": "Oslo", "start": 8, "end": 12}]`; for a list of '
    "inputs, a list of such lists. With `aggregation_strategy` `words`: words with their tags as `entity`. "
    "A text is split into words as those of the training data; of a list of words, `start` and `end` count "
    "words.",
    answer_example='[{"entity_group": "PER", "word": "Ada", "start": 0, "end": 3, "score": 0.99}]',
    scoring="distribution",
)
