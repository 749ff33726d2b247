// One turn with one JavaScript library, chosen by name. Prints what the model said.
//     node node_clients.mjs NAME URL KEY MODEL
const [name, url, key, model] = process.argv.slice(2);
const hello = "say hello";

const clients = {
  async openai() {
    const { default: OpenAI } = await import("openai");
    const stream = await new OpenAI({ baseURL: `${url}/v1`, apiKey: key }).chat.completions.create({
      model, stream: true, messages: [{ role: "user", content: hello }],
    });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
    return text;
  },
  async anthropic() {
    const { default: Anthropic } = await import("@anthropic-ai/sdk");
    const answer = await new Anthropic({ baseURL: url, apiKey: key }).messages
      .stream({ model, max_tokens: 50, messages: [{ role: "user", content: hello }] }).finalMessage();
    return answer.content[0].text;
  },
  async google() {
    const { GoogleGenAI } = await import("@google/genai");
    const answer = await new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } }).models
      .generateContent({ model, contents: hello });
    return answer.text;
  },
  async vercel() {
    const { streamText } = await import("ai");
    const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
    const provider = createOpenAICompatible({ name: "tr", baseURL: `${url}/v1`, apiKey: key });
    return await streamText({ model: provider(model), prompt: hello }).text;
  },
  async vercelAnthropic() {
    const { generateText } = await import("ai");
    const { createAnthropic } = await import("@ai-sdk/anthropic");
    return (await generateText({ model: createAnthropic({ baseURL: `${url}/v1`, apiKey: key })(model), prompt: hello })).text;
  },
  async vercelResponses() {
    const { generateText } = await import("ai");
    const { createOpenAI } = await import("@ai-sdk/openai");
    return (await generateText({ model: createOpenAI({ baseURL: `${url}/v1`, apiKey: key })(model), prompt: hello })).text;
  },
};

console.log(await clients[name]());
