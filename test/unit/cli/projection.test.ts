import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { allCommands } from '../../../helper-daemon/cli/catalogue.ts';
import type { CommandSpec } from '../../../helper-daemon/cli/commandSpec.ts';
import { UsageError } from '../../../helper-daemon/cli/failure.ts';
import { buildProgram, type Match } from '../../../helper-daemon/cli/program.ts';
import { usageErrorFor } from '../../../helper-daemon/cli/projection/explainInput.ts';
import { fieldsOf } from '../../../helper-daemon/cli/projection/fields.ts';
import { projectOperation } from '../../../helper-daemon/cli/projection/projectOperation.ts';
import { renderers } from '../../../helper-daemon/cli/render/renderers.ts';
import { defineOperation, type Operation } from '../../../protocol/operation.ts';
import { operations } from '../../../protocol/operations.ts';

const withCli = Object.values(operations).filter(
  (operation: Operation) => operation.cli !== undefined,
) as Operation[];

const sample = defineOperation({
  name: 'sample',
  summary: 'Try everything',
  input: z.object({
    workspace_id: z.string().min(1),
    note: z.string().optional().describe('What to say'),
    amount: z.int().min(1).max(9).optional(),
    ratio: z.number().positive().optional(),
    big_switch: z.boolean().optional(),
    env: z.record(z.string(), z.string()).optional(),
    globs: z.array(z.string()).max(2).optional(),
    colour: z.enum(['red', 'blue']).optional(),
  }),
  output: z.object({}),
  risk: 'read',
  retry: 'safe',
  errors: [],
});
const sampleSpec = projectOperation(sample, {
  command: 'try it',
  positionals: ['workspace_id'],
  flags: { amount: '-a, --amount' },
});

async function parse(spec: CommandSpec, ...argv: string[]): Promise<Match> {
  const match = await buildProgram([spec]).parse([...spec.words.split(' '), ...argv]);
  if (match === undefined) throw new Error('nothing matched');
  return match;
}

describe('every operation with a cli part', () => {
  it.each(withCli.map((operation) => [operation.name, operation] as const))(
    '%s becomes a command with a renderer',
    (name, operation) => {
      const { cli } = operation;
      if (cli === undefined) return;
      const fields = fieldsOf(operation).map((field) => field.name);
      const named = [
        ...(cli.positionals ?? []),
        ...Object.keys(cli.flags ?? {}),
        ...(cli.hidden ?? []),
        ...(cli.rest === undefined ? [] : [cli.rest]),
      ];
      expect(fields).toEqual(expect.arrayContaining(named));
      expect(Object.keys(renderers)).toContain(name);
      const spec = projectOperation(operation, cli);
      const shown = [...spec.positionals, ...spec.flags].map(({ key }) => key);
      const expected = fields.filter(
        (field) => !(cli.hidden ?? []).includes(field) && field !== cli.rest,
      );
      const mayRepeat = operation.risk !== 'read' && operation.stream === undefined;
      expect([...shown].sort()).toEqual(
        [...expected, ...(mayRepeat ? ['idempotencyKey'] : [])].sort(),
      );
    },
  );

  it('has a command of its own, and flags that do not clash', () => {
    const specs = withCli.flatMap((operation) =>
      operation.cli === undefined ? [] : [projectOperation(operation, operation.cli)],
    );
    const words = specs.flatMap(({ words: name, aliases }) => [name, ...(aliases ?? [])]);
    expect(new Set(words).size).toBe(words.length);
    for (const { flags, words: name } of specs) {
      const spellings = flags.flatMap(({ spelling }) => spelling.split(', '));
      expect(new Set(spellings).size, name).toBe(spellings.length);
      expect(spellings, name).not.toContain('--json');
    }
  });

  it('is found in the catalogue, in full where it is named', () => {
    const [create] = allCommands(['create']).filter(({ words }) => words === 'create');
    expect(create?.flags.map(({ key }) => key)).toContain('memory_mb');
    const [outline] = allCommands(['list']).filter(({ words }) => words === 'create');
    expect(outline?.flags).toEqual([]);
  });
});

describe('a projected command', () => {
  it('takes each kind of field in its form', async () => {
    const { invocation } = await parse(
      sampleSpec,
      'demo',
      '--note',
      'hello world',
      '-a',
      '3',
      '--ratio',
      '0.5',
      '--big-switch',
      '--env',
      'A=1',
      '--env',
      'B=x=y',
      '--globs',
      '*.ts',
      '--globs',
      '*.rs',
      '--colour',
      'red',
    );
    expect(invocation.positionals).toEqual({ workspace_id: 'demo' });
    expect(invocation.flags).toEqual({
      note: 'hello world',
      amount: 3,
      ratio: 0.5,
      big_switch: true,
      env: { A: '1', B: 'x=y' },
      globs: ['*.ts', '*.rs'],
      colour: 'red',
    });
  });

  it('leaves out what was not given', async () => {
    const { invocation } = await parse(sampleSpec, 'demo');
    expect(invocation.flags).toEqual({});
  });

  it('knows --json before and after the command', async () => {
    expect((await parse(sampleSpec, 'demo', '--json')).json).toBe(true);
    const match = await buildProgram([sampleSpec]).parse(['--json', 'try', 'it', 'demo']);
    expect(match?.json).toBe(true);
    expect((await parse(sampleSpec, 'demo')).json).toBe(false);
  });

  it('shows descriptions, choices and repeatability in its help', () => {
    const group = buildProgram([sampleSpec]).root.commands[0]?.commands[0];
    const help = group?.helpInformation() ?? '';
    expect(help).toContain('What to say');
    expect(help).toContain('--colour <red|blue>');
    expect(help).toContain('(repeatable)');
    expect(help).toContain('coppice try it [options] <workspace>');
  });

  it.each([
    [['demo', '-a', 'many'], '--amount must be a whole number (got "many").'],
    [['demo', '-a', '1.5'], '--amount must be a whole number (got "1.5").'],
    [['demo', '-a', ''], '--amount must be a whole number (got "").'],
    [['demo', '--env', 'novalue'], '--env must be NAME=VALUE (got "novalue").'],
    [['demo', '--nope'], "Unknown option '--nope'. Did you mean --note?"],
    [[], "Missing required argument 'workspace'."],
    [['demo', 'more'], "Too many arguments for 'it'. Expected 1 argument but got 2: demo, more."],
  ])('refuses %j', async (argv, message) => {
    const error = await parse(sampleSpec, ...argv).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toBe(message);
  });
});

describe('an input the schema refuses', () => {
  it.each([
    [{ workspace_id: '' }, '<workspace> must not be empty (got "").'],
    [{ workspace_id: 'a', amount: 0 }, '--amount must be at least 1 (got 0).'],
    [{ workspace_id: 'a', amount: 10 }, '--amount must be at most 9 (got 10).'],
    [{ workspace_id: 'a', ratio: 0 }, '--ratio must be more than 0 (got 0).'],
    [{ workspace_id: 'a', colour: 'green' }, '--colour must be one of red, blue (got "green").'],
    [
      { workspace_id: 'a', globs: ['a', 'b', 'c'] },
      '--globs may be given at most 2 times (got ["a","b","c"]).',
    ],
    [{}, '<workspace> is missing.'],
  ])('%j is one sentence that names the flag', (input, message) => {
    const result = sample.input.safeParse(input);
    expect(usageErrorFor(sampleSpec, result.error?.issues ?? [], input).message).toBe(message);
  });

  it('quotes a rule of the contract as it stands', () => {
    const spec = projectOperation(operations.file_list, {
      command: 'ls',
      positionals: ['workspace_id', 'path'],
    });
    const input = { workspace_id: 'demo', path: '~/x' };
    const { error } = operations.file_list.input.safeParse(input);
    expect(usageErrorFor(spec, error?.issues ?? [], input).message).toBe(
      '<path> must be absolute (start with "/"); "~" is not expanded inside a machine (got "~/x").',
    );
  });
});
