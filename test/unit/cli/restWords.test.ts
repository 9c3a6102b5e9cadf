import { describe, expect, it } from 'vitest';
import { execSpec } from '../../../helper-daemon/cli/commands/exec.ts';
import { runSpec } from '../../../helper-daemon/cli/commands/run.ts';
import { buildProgram } from '../../../helper-daemon/cli/program.ts';
import { asCommandInput, asShellCommand } from '../../../helper-daemon/cli/argv/shellQuote.ts';

const specs = [execSpec(() => ''), runSpec(() => '')];

async function parsed(
  ...argv: string[]
): Promise<{ rest: readonly string[]; flags: object; workspace: unknown }> {
  const match = await buildProgram(specs).parse(argv);
  return {
    rest: match?.invocation.rest ?? [],
    flags: match?.invocation.flags ?? {},
    workspace: match?.invocation.positionals['workspace_id'],
  };
}

describe('the words of a remote command', () => {
  it.each([
    [['exec', 'demo', '--', 'ls', '-l'], ['ls', '-l'], {}],
    [['exec', 'demo', 'ls', '-l'], ['ls', '-l'], {}],
    [['exec', 'demo', '-w', '/tmp', '--', 'pwd'], ['pwd'], { workdir: '/tmp' }],
    [['exec', '-w', '/tmp', 'demo', 'pwd', '-P'], ['pwd', '-P'], { workdir: '/tmp' }],
    [['exec', '--workdir=/tmp', 'demo', 'pwd'], ['pwd'], { workdir: '/tmp' }],
    [['exec', '-w/tmp', 'demo', 'pwd'], ['pwd'], { workdir: '/tmp' }],
    [['exec', '-it', 'demo', 'sh'], ['sh'], { interactive: true, tty: true }],
    [['exec', '-e', 'A=1', '-e', 'B=2', 'demo', 'env'], ['env'], { env: { A: '1', B: '2' } }],
    [['exec', '--timeout', '5', 'demo', '--', '--', 'x'], ['--', 'x'], { timeout_secs: 5 }],
    [['exec', 'demo', '--', 'echo', '--json'], ['echo', '--json'], {}],
  ])('%j', async (argv, rest, flags) => {
    expect(await parsed(...argv)).toEqual({ rest, flags, workspace: 'demo' });
  });

  it('begin at once where there is nothing before them', async () => {
    expect((await parsed('run', '-m', '256', 'make', '-j4')).rest).toEqual(['make', '-j4']);
    expect((await parsed('run', '--in', '.', '--', 'make')).rest).toEqual(['make']);
  });

  it('may not be missing', async () => {
    await expect(parsed('exec', 'demo')).rejects.toThrow('needs a command to run');
    await expect(parsed('exec', 'demo', '--')).rejects.toThrow('needs a command to run');
  });
});

describe('one word and several', () => {
  it('one is a shell command, several are a program and its arguments', () => {
    expect(asCommandInput(['ls | wc'])).toEqual({ command: 'ls | wc' });
    expect(asCommandInput(['ls', '|'])).toEqual({ argv: ['ls', '|'] });
  });

  it('several are quoted where only a command line can be given', () => {
    expect(asShellCommand(['a && b'])).toBe('a && b');
    expect(asShellCommand(['echo', "it's", '$HOME', '', 'a-b/c'])).toBe(
      `echo 'it'\\''s' '$HOME' '' a-b/c`,
    );
  });
});
