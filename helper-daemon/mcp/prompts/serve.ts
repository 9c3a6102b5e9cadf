/** The requests about prompts. */
import { ProtocolError, ProtocolErrorCode, type McpServer } from '@modelcontextprotocol/server';
import { prompts } from './catalogue.ts';

export function servePrompts({ server }: McpServer): void {
  server.setRequestHandler('prompts/list', () => ({
    prompts: prompts.map(({ name, title, description, arguments: wanted }) => ({
      name,
      title,
      description,
      arguments: wanted.map((argument) => ({
        name: argument.name,
        description: argument.description,
        required: argument.required === true,
      })),
    })),
  }));
  server.setRequestHandler('prompts/get', ({ params }) => {
    const prompt = prompts.find(({ name }) => name === params.name);
    if (prompt === undefined) {
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        `There is no prompt named ${JSON.stringify(params.name.slice(0, 64))}; prompts/list names all.`,
      );
    }
    const given = Object.fromEntries(
      Object.entries(params.arguments ?? {}).filter(([, value]) => value.trim() !== ''),
    );
    const missing = prompt.arguments.filter(
      ({ name, required }) => required === true && given[name] === undefined,
    );
    if (missing.length > 0) {
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        `${prompt.name} needs ${missing.map(({ name }) => name).join(' and ')}.`,
      );
    }
    return {
      description: prompt.description,
      messages: [
        { role: 'user' as const, content: { type: 'text' as const, text: prompt.text(given) } },
      ],
    };
  });
}
