// Asks a running service for one answer of every task, as users of these packages do, and prints the answers.
import { InferenceClient } from "@huggingface/inference";
import OpenAI from "openai";

const { url, models, texts, masked, question } = JSON.parse(process.argv[2]);
const token = process.argv[3];

const endpoint = (task, path = "v1/models") => new InferenceClient(token).endpoint(`${url}/${path}/${models[task]}`);
const byUrl = (task) => ({ accessToken: token, endpointUrl: `${url}/models/${models[task]}` });
const refusal = async (asked) => {
  try {
    return { answered: await asked };
  } catch (error) {
    return { name: error.constructor.name, message: error.message, status: error.status ?? error.httpResponse?.status };
  }
};

const hub = new InferenceClient(token);
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: token ?? "none", maxRetries: 0 });
const entities = (aggregation_strategy) =>
  endpoint("token_classification").tokenClassification({ inputs: texts[0], parameters: { aggregation_strategy } });

console.log(JSON.stringify({
  labels: await endpoint("text_classification").textClassification({ inputs: texts[0] }),
  labels_by_url: await hub.textClassification({ ...byUrl("text_classification"), inputs: texts[0], parameters: { top_k: 1 } }),
  several_labels: await endpoint("multi_label_classification", "models").textClassification({ inputs: texts[0] }),
  number: await endpoint("text_regression").textClassification({ inputs: texts[0] }),
  entities: await entities(undefined),
  simple: await entities("simple"),
  average: await entities("average"),
  fills: await endpoint("masked_language_modeling").fillMask({ inputs: masked }),
  answer: await endpoint("question_answering").questionAnswering({ inputs: question }),
  translation: await endpoint("translation").translation({ inputs: texts[0] }),
  translations: await endpoint("translation").translation({ inputs: texts }),
  vectors: await endpoint("sentence_embedding").featureExtraction({ inputs: texts }),
  similarities: await endpoint("sentence_embedding").sentenceSimilarity({
    inputs: { source_sentence: texts[0], sentences: texts },
  }),
  embeddings: (await openai.embeddings.create({ model: models.sentence_embedding, input: texts })).data,
  unknown: await refusal(hub.textClassification({ accessToken: token, endpointUrl: `${url}/models/mdl_0`, inputs: "a" })),
  wrong: await refusal(endpoint("translation").translation({ inputs: texts[0], parameters: { top_k: 1 } })),
  unknown_embedder: await refusal(openai.embeddings.create({ model: "mdl_0", input: "a" })),
}));
