/** Cloning and setup commands inside the machine. */
import { CoppiceError, type ErrorCode } from '../../../protocol/errors.ts';
import { redact } from '../../system/redact.ts';
import type { Ran } from '../guest.ts';
import type { PrepareHost, PrepareInput, StepOptions } from './host.ts';

const repository = '/workspace';
const defaultTimeoutSecs = 300;
/** Of a command's output in its error. */
const tailCharacters = 2000;
const shownCommand = 200;

/**
 * @param saveFirst keeps what the machine holds before a repository in it is removed
 * @throws CoppiceError `git_error`, `command_failed`, `timeout`
 */
export async function setUp(
  host: Pick<PrepareHost, 'guest'>,
  id: string,
  input: PrepareInput,
  saveFirst: (() => Promise<void>) | undefined,
  options: StepOptions,
): Promise<void> {
  const timeoutSecs = input.timeout_secs ?? defaultTimeoutSecs;
  if (input.git_url !== undefined) {
    options.progress('Cloning the repository');
    await clone(host, id, input.git_url, timeoutSecs, saveFirst, options);
  }
  const commands = input.setup_commands ?? [];
  for (const [index, command] of commands.entries()) {
    const which = `setup command ${String(index + 1)}/${String(commands.length)}`;
    options.progress(`${which}: ${oneLine(command)}`);
    const ran = await host.guest.run(id, command, { timeoutSecs, signal: options.signal });
    if (ran.exitCode !== 0) throw failed('command_failed', which, command, ran, timeoutSecs);
  }
}

async function clone(
  { guest }: Pick<PrepareHost, 'guest'>,
  id: string,
  url: string,
  timeoutSecs: number,
  saveFirst: (() => Promise<void>) | undefined,
  { signal }: StepOptions,
): Promise<void> {
  const run = (argv: readonly string[]): Promise<Ran> =>
    guest.run(id, argv, {
      timeoutSecs,
      signal,
      cwd: '/',
      // Nobody is there to type a password.
      env: { GIT_TERMINAL_PROMPT: '0' },
    });
  const attempt = (): Promise<Ran> => run(['git', 'clone', '--', url, repository]);
  let ran = await attempt();
  if (ran.exitCode !== 0 && saveFirst !== undefined && isOccupied(ran)) {
    await saveFirst();
    await run(['rm', '-rf', '--', repository]);
    ran = await attempt();
  }
  if (ran.exitCode !== 0) {
    throw failed('git_error', 'git clone', `git clone ${url}`, ran, timeoutSecs);
  }
}

function isOccupied({ stderr }: Ran): boolean {
  return stderr.includes('already exists and is not an empty directory');
}

function failed(
  code: ErrorCode,
  what: string,
  command: string,
  ran: Ran,
  timeoutSecs: number,
): CoppiceError {
  const output = redact(`${ran.stdout}\n${ran.stderr}`.trim());
  const tail = output.length > tailCharacters ? `…${output.slice(-tailCharacters)}` : output;
  const how = ran.timedOut
    ? `timed out after ${String(timeoutSecs)} s`
    : `failed (exit ${String(ran.exitCode)})`;
  return new CoppiceError({
    code: ran.timedOut ? 'timeout' : code,
    message: `${what} ${how}: ${redact(oneLine(command))}${tail === '' ? '' : `\n${tail}`}`,
    next: ran.timedOut
      ? 'Allow more time with timeout_secs, or split the command.'
      : 'Correct it and prepare again. If the network is what is missing, look at network_policy.',
    details: { exit_code: ran.exitCode },
  });
}

function oneLine(command: string): string {
  const line = command.replaceAll(/\s+/g, ' ').trim();
  return line.length > shownCommand ? `${line.slice(0, shownCommand)}…` : line;
}
