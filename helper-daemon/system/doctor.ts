/** What machines need of this host, checked one by one; each failure has one fix. */
import { access, constants } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { asCoppiceError } from '../../protocol/errors.ts';
import type { DoctorCheck } from '../../protocol/operations/daemon.ts';
import { run } from './run.ts';
import type { HostPaths } from './paths.ts';

export interface HostQuestions {
  readonly paths: HostPaths;
  readonly accelerator: () => Promise<'kvm' | 'tcg'>;
  readonly bootAssets: () => Promise<unknown>;
  readonly defaultImage: () => Promise<{ readonly name: string }>;
  readonly network: () => Promise<readonly DoctorCheck[]>;
}

export async function checkHost(questions: HostQuestions): Promise<DoctorCheck[]> {
  const checks = await Promise.all([
    program('qemu', 'QEMU', 'qemu-system-x86_64', 'apt-get install qemu-system-x86'),
    program('qemu-img', 'Disk tools', 'qemu-img', 'apt-get install qemu-utils'),
    acceleration(questions),
    check('boot-assets', 'Guest kernel and agent', 'npm run build', async () => {
      await questions.bootAssets();
      return 'built and verified';
    }),
    check('image', 'Default image', 'coppice image build debian-dev', async () => {
      const { name } = await questions.defaultImage();
      return `${name} is ready`;
    }),
    check('state', 'State directory', `Make ${questions.paths.state} writable`, async () => {
      await access(questions.paths.state, constants.W_OK);
      return questions.paths.state;
    }),
    program(
      'mmdebstrap',
      'Image builder (only for coppice image build)',
      'mmdebstrap',
      'apt-get install mmdebstrap',
      'warning',
    ),
    vsock(),
  ]);
  return [...checks, ...(await questions.network())];
}

async function check(
  id: string,
  title: string,
  fix: string,
  look: () => Promise<string>,
  severity: 'failed' | 'warning' = 'failed',
): Promise<DoctorCheck> {
  try {
    return { id, title, status: 'ok', detail: await look(), fix: null };
  } catch (error) {
    const { message, next } = asCoppiceError(error);
    return { id, title, status: severity, detail: message, fix: next ?? fix };
  }
}

async function program(
  id: string,
  title: string,
  file: string,
  fix: string,
  severity: 'failed' | 'warning' = 'failed',
): Promise<DoctorCheck> {
  try {
    const { stdout } = await run(file, ['--version'], { timeout: 5000 });
    return { id, title, status: 'ok', detail: stdout.split('\n')[0] ?? file, fix: null };
  } catch {
    return { id, title, status: severity, detail: `${file} is not installed`, fix };
  }
}

async function acceleration({ accelerator }: HostQuestions): Promise<DoctorCheck> {
  const base = { id: 'kvm', title: 'Hardware virtualization (KVM)' };
  const slow = 'machines run emulated (TCG), several times slower';
  if (!existsSync('/dev/kvm')) {
    return {
      ...base,
      status: 'warning',
      detail: `there is no /dev/kvm; ${slow}`,
      fix: 'Enable virtualization in the firmware, or nested virtualization when this is a VM',
    };
  }
  const allowed = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!allowed) {
    return {
      ...base,
      status: 'warning',
      detail: `/dev/kvm is there but this user may not use it; ${slow}`,
      fix: 'sudo usermod -aG kvm $USER, then log in again',
    };
  }
  const verdict = await accelerator().catch(() => 'tcg' as const);
  if (verdict === 'kvm') return { ...base, status: 'ok', detail: 'a probe guest ran', fix: null };
  return {
    ...base,
    status: 'warning',
    detail: `/dev/kvm is there but a probe guest does not run under it; ${slow}`,
    fix: 'Usual on nested clouds; a host with working nested virtualization is faster',
  };
}

async function vsock(): Promise<DoctorCheck> {
  const usable = await access('/dev/vhost-vsock', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  return {
    id: 'channel',
    title: 'Guest channel',
    status: 'ok',
    detail: usable ? 'virtio-serial (vsock is available too)' : 'virtio-serial',
    fix: null,
  };
}
