/** What keeps a QEMU that a hostile guest has taken over away from the host: account, capabilities. */
import fs from 'node:fs';
import type { MachineSpec } from '../machine.ts';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/**
 * setpriv drops to the machine's own account without any capability or a way to gain one. The group of
 * /dev/kvm comes along where KVM is used, since that account may not open it otherwise.
 */
export function confined(
  program: string,
  args: readonly string[],
  spec: Pick<MachineSpec, 'runAs' | 'accelerator'>,
  kvmGroup = deviceGroup('/dev/kvm'),
): Command {
  if (spec.runAs === undefined) return { file: program, args };
  const groups =
    spec.accelerator === 'kvm' && kvmGroup !== undefined
      ? [`--groups=${String(kvmGroup)}`]
      : ['--clear-groups'];
  return {
    file: 'setpriv',
    args: [
      `--reuid=${String(spec.runAs.uid)}`,
      `--regid=${String(spec.runAs.gid)}`,
      ...groups,
      '--no-new-privs',
      '--inh-caps=-all',
      '--ambient-caps=-all',
      '--bounding-set=-all',
      '--',
      program,
      ...args,
    ],
  };
}

/** undefined where everybody may open the device, or where group root owns it. */
function deviceGroup(device: string): number | undefined {
  try {
    const stat = fs.statSync(device);
    return (stat.mode & 0o006) === 0o006 || stat.gid === 0 ? undefined : stat.gid;
  } catch {
    return undefined;
  }
}
