/** `coppice doctor`: also when the daemon cannot start, which is when it is needed most. */
import { statSync } from 'node:fs';
import type { OutputOf } from '../../../protocol/operations.ts';
import type { DoctorCheck } from '../../../protocol/operations/daemon.ts';
import { asCoppiceError } from '../../../protocol/errors.ts';
import { siblingBundle } from '../../client/startDaemon.ts';
import type { CommandSpec } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { renderDoctor } from '../render/daemon.ts';

const oldestNode = 24;

export function withLocalChecks(projected: CommandSpec): CommandSpec {
  return {
    ...projected,
    notes: 'Exit code: 0 when nothing failed, else 1.',
    async run(_, context) {
      const report = await diagnose(context);
      if (context.json) context.printJson(report);
      else context.print(renderDoctor(report, { ...context.rendering(), input: {} }));
      return report.ok ? exitCodes.ok : exitCodes.negative;
    },
  };
}

/** What the daemon finds, or as much of it as can be found without one. */
export async function diagnose(context: CliContext): Promise<OutputOf<'daemon_doctor'>> {
  const local = [nodeCheck(), bundleCheck()];
  const progress = context.progress('Looking at this host');
  try {
    const client = await context.connect();
    try {
      const { checks } = await client.call('daemon_doctor', {}, { signal: context.signal });
      return report([
        ...local.filter(({ status }) => status !== 'ok'),
        daemonOk(client.server.server.version),
        ...checks,
      ]);
    } finally {
      client.close();
    }
  } catch (error) {
    const failure = asCoppiceError(error);
    const daemon: DoctorCheck = {
      id: 'daemon',
      title: 'Daemon',
      status: 'failed',
      detail: failure.message,
      fix: failure.next ?? null,
    };
    return report([...local, ...(await hostChecks()), daemon]);
  } finally {
    progress.stop();
  }
}

/** What only a daemon can tell. */
const needDaemon: ReadonlySet<string> = new Set(['kvm', 'boot-assets', 'image']);

/** The daemon's own checks, as far as they only look at the host. */
async function hostChecks(): Promise<readonly DoctorCheck[]> {
  try {
    const { hostPaths } = await import('../../system/paths.ts');
    const { checkHost } = await import('../../system/doctor.ts');
    const unknown = (): Promise<never> => Promise.reject(new Error('The daemon does not run.'));
    const checks = await checkHost({
      paths: hostPaths('user'),
      accelerator: unknown,
      bootAssets: unknown,
      defaultImage: unknown,
      network: () => Promise.resolve([]),
    });
    return checks.filter(({ id }) => !needDaemon.has(id));
  } catch {
    return [];
  }
}

function report(checks: readonly DoctorCheck[]): OutputOf<'daemon_doctor'> {
  return { ok: !checks.some(({ status }) => status === 'failed'), checks: [...checks] };
}

function daemonOk(version: string): DoctorCheck {
  return {
    id: 'daemon',
    title: 'Daemon',
    status: 'ok',
    detail: `answers, version ${version}`,
    fix: null,
  };
}

function nodeCheck(): DoctorCheck {
  const fine = Number(process.versions.node.split('.')[0]) >= oldestNode;
  return {
    id: 'node',
    title: 'Node.js',
    status: fine ? 'ok' : 'failed',
    detail: `${process.versions.node}${fine ? '' : `, but ${String(oldestNode)} or newer is needed`}`,
    fix: fine ? null : 'Run npm ci in the checkout: it brings a Node of its own.',
  };
}

function bundleCheck(): DoctorCheck {
  const bundle = siblingBundle();
  const there = statSync(bundle, { throwIfNoEntry: false }) !== undefined;
  return {
    id: 'bundle',
    title: 'Daemon program',
    status: there ? 'ok' : 'failed',
    detail: there ? bundle : `${bundle} does not exist`,
    fix: there ? null : 'Build it: npm run build',
  };
}
