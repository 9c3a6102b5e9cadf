/** `coppice check`: everything machines need and the configuration, one line each. */
import path from 'node:path';
import type { DoctorCheck } from '../../../protocol/operations/daemon.ts';
import { asCoppiceError } from '../../../protocol/errors.ts';
import { configPath, loadConfig } from '../../system/configFile.ts';
import { daemonSocket } from '../../client/startDaemon.ts';
import { hostPaths, type DaemonMode } from '../../system/paths.ts';
import type { CommandSpec, Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { printable, printableLines } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import { diagnose } from './doctor.ts';

export const checkSpec: CommandSpec = {
  words: 'check',
  summary: 'Check this host and the configuration; fails when something is missing',
  positionals: [],
  flags: [
    {
      key: 'config',
      spelling: '-c, --config <file>',
      kind: 'text',
      description: 'Configuration file to check instead of the usual one',
    },
    {
      key: 'system',
      spelling: '--system',
      kind: 'switch',
      description: 'The configuration of the system daemon',
    },
  ],
  notes: 'Exit code: 0 when nothing failed, else 1.',
  run: check,
};

async function check(invocation: Invocation, context: CliContext): Promise<number> {
  const { config, system } = invocation.flags;
  const env =
    typeof config === 'string'
      ? { ...process.env, COPPICE_CONFIG: path.resolve(config) }
      : process.env;
  const checks = [
    ...(await checkConfig(system === true ? 'system' : modeInUse(), env)),
    ...(await diagnose(context)).checks,
  ];
  const failed = checks.filter(({ status }) => status === 'failed').length;
  if (context.json) context.printJson({ ok: failed === 0, checks });
  else context.print(renderChecks(checks, context.rendering().style));
  return failed === 0 ? exitCodes.ok : exitCodes.negative;
}

/** Of the daemon that commands go to. */
function modeInUse(): DaemonMode {
  const { runtime } = hostPaths('system');
  return hostPaths('user').runtime !== runtime && daemonSocket().path.startsWith(`${runtime}/`)
    ? 'system'
    : 'user';
}

/** The file itself, and each key in it that means nothing. */
export async function checkConfig(
  mode: DaemonMode,
  env: NodeJS.ProcessEnv,
): Promise<readonly DoctorCheck[]> {
  const base = { id: 'config', title: 'Configuration' } as const;
  try {
    const { file, warnings } = await loadConfig(mode, env);
    const where = file ?? `defaults; there is no ${configPath(mode, env).file}`;
    return [
      { ...base, status: 'ok', detail: where, fix: null },
      ...warnings.map((detail) => ({
        ...base,
        status: 'warning' as const,
        detail,
        fix: 'Correct the name, or take the line out: it has no effect',
      })),
    ];
  } catch (error) {
    const { message, next } = asCoppiceError(error);
    return [{ ...base, status: 'failed', detail: message, fix: next ?? null }];
  }
}

function renderChecks(checks: readonly DoctorCheck[], style: Style): string {
  const failed = checks.filter(({ status }) => status === 'failed').length;
  const verdict =
    failed === 0
      ? style.good('All checks passed.')
      : style.bad(`${String(failed)} check(s) failed`);
  return [...checks.map((one) => renderCheck(one, style)), '', verdict].join('\n');
}

/** `✓ label (detail)`, and below what is not right how to fix it. */
export function renderCheck({ status, title, detail, fix }: DoctorCheck, style: Style): string {
  const mark = { ok: style.good('✓'), warning: style.warn('!'), failed: style.bad('✗') }[status];
  const line = `${mark} ${title} (${printableLines(detail)})`;
  return fix === null || status === 'ok' ? line : `${line}\n  Fix: ${printable(fix)}`;
}
