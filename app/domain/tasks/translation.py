from app.domain.tasks.record import Columns, Metric, TaskRecord

RECORD = TaskRecord(
    columns=Columns(inputs=("source",), target="target"),
    columns_help="`source`, `target`",
    answering="written",
    head=None,
    outputs="vocabulary",
    networks=("encoder_decoder",),
    # To translate dev takes many times as long as to read it: training keeps its best step by the loss.
    metrics=(
        Metric("bleu"),
        Metric("chrf"),
        Metric("accuracy"),
        Metric("loss", higher_is_better=False),
    ),
    judged_by="BLEU (and chrF)",
    trivial_answer="nothing",
    predictor="translator",
    answer_help="an object per input, in a list also for a single input: "
    '`[{"translation_text": "Ein Hund."}]`.',
    answer_example='{"translation_text": "..."}',
    label_smoothing=0.1,
    scoring="text",
)
