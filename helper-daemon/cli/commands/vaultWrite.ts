import { text as readAll } from 'node:stream/consumers';
import type { CommandSpec } from '../commandSpec.ts';
import { UsageError } from '../failure.ts';

/** `coppice vault write plan.md < plan.md`: a note is seldom typed as one word. */
export function withTextFromStdin(projected: CommandSpec): CommandSpec {
  return {
    ...projected,
    positionals: projected.positionals.map((positional) =>
      positional.key === 'content'
        ? {
            ...positional,
            required: false,
            description: 'Text of the note; standard input when absent',
          }
        : positional,
    ),
    async run(invocation, context) {
      if (invocation.positionals['content'] !== undefined) {
        return await projected.run(invocation, context);
      }
      if (process.stdin.isTTY) {
        throw new UsageError(
          'Give the text of the note, or send it to standard input.',
          `For example: coppice ${projected.words} notes/plan.md < plan.md`,
        );
      }
      const content = await readAll(process.stdin);
      const positionals = { ...invocation.positionals, content };
      return await projected.run({ ...invocation, positionals }, context);
    },
  };
}
