import { describe, expect, it } from 'vitest';
import {
  kernelCommandLine,
  qemuArguments,
  type HostFacts,
} from '../../../helper-daemon/engine/qemu/arguments.ts';
import { confined } from '../../../helper-daemon/engine/qemu/confinement.ts';
import { microvm, tscKhzFrom } from '../../../helper-daemon/engine/qemu/machineFacts.ts';
import type { MachineSpec } from '../../../helper-daemon/engine/machine.ts';

const spec: MachineSpec = {
  workspaceId: '1b671a64-40d5-491e-99b0-da01ff1f3341',
  runId: '6fa459ea-ee8a-4ca4-894e-db77e160355e',
  runDir: '/run/coppice/r',
  vcpus: 2,
  memoryMb: 512,
  disk: { path: '/state/disk,1.qcow2', format: 'qcow2' },
  kernel: '/assets/vmlinux',
  initramfs: '/assets/initramfs.cpio',
  kernelParameters: { 'coppice.key': 'ab'.repeat(32), 'coppice.root': '/dev/vda' },
  accelerator: 'tcg',
  transport: { kind: 'virtio-serial' },
};
const host: HostFacts = { tscKhz: 2_596_122 };

/** One option per line, so that a change is one line of the diff. */
function lines(given: MachineSpec, facts: HostFacts = host): string {
  return qemuArguments(microvm, given, facts)
    .join('\n')
    .replaceAll(/\n(?!-)/g, ' ');
}

describe('qemuArguments', () => {
  it('describes a machine under TCG', () => {
    expect(lines(spec)).toMatchInlineSnapshot(`
      "-name coppice-1b671a64-40d5-491e-99b0-da01ff1f3341
      -uuid 6fa459ea-ee8a-4ca4-894e-db77e160355e
      -nodefaults
      -no-user-config
      -display none
      -msg timestamp=on
      -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
      -pidfile /run/coppice/r/qemu.pid
      -machine microvm,acpi=off,dump-guest-core=off,mem-merge=off,memory-backend=ram
      -accel tcg,tb-size=256
      -cpu max
      -smp cpus=2,maxcpus=2
      -m size=512M
      -object memory-backend-ram,id=ram,size=512M
      -global migration.send-configuration=off
      -action reboot=shutdown,shutdown=pause
      -chardev socket,id=qmp,path=/run/coppice/r/qmp.sock,server=on,wait=off
      -mon chardev=qmp,mode=control
      -chardev ringbuf,id=console,size=65536
      -serial chardev:console
      -kernel /assets/vmlinux
      -initrd /assets/initramfs.cpio
      -append console=ttyS0 quiet reboot=t panic=-1 tsc_early_khz=2596122 tsc=reliable no_timer_check noreplace-smp coppice.key=abababababababababababababababababababababababababababababababab coppice.root=/dev/vda
      -blockdev {"driver":"qcow2","node-name":"root","discard":"unmap","cache":{"direct":false,"no-flush":false},"file":{"driver":"file","filename":"/state/disk,1.qcow2","aio":"threads","discard":"unmap","cache":{"direct":false,"no-flush":false}}}
      -device virtio-blk-device,drive=root,serial=root,werror=enospc,rerror=report
      -device virtio-rng-device
      -chardev socket,id=agent,path=/run/coppice/r/agent.sock,server=on,wait=off
      -device virtio-serial-device,max_ports=2
      -device virtserialport,chardev=agent,id=agent,name=coppice.agent"
    `);
  });

  it('describes a machine under KVM on a vsock', () => {
    const given: MachineSpec = {
      ...spec,
      accelerator: 'kvm',
      disk: { path: '/state/disk.raw', format: 'raw' },
      transport: { kind: 'vsock', cid: 42 },
    };
    expect(lines(given, { ...host, vhostFd: 3 })).toMatchInlineSnapshot(`
      "-name coppice-1b671a64-40d5-491e-99b0-da01ff1f3341
      -uuid 6fa459ea-ee8a-4ca4-894e-db77e160355e
      -nodefaults
      -no-user-config
      -display none
      -msg timestamp=on
      -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
      -pidfile /run/coppice/r/qemu.pid
      -machine microvm,acpi=off,dump-guest-core=off,mem-merge=off,memory-backend=ram
      -accel kvm
      -cpu host
      -smp cpus=2,maxcpus=2
      -m size=512M
      -object memory-backend-ram,id=ram,size=512M
      -global migration.send-configuration=off
      -action reboot=shutdown,shutdown=pause
      -chardev socket,id=qmp,path=/run/coppice/r/qmp.sock,server=on,wait=off
      -mon chardev=qmp,mode=control
      -chardev ringbuf,id=console,size=65536
      -serial chardev:console
      -kernel /assets/vmlinux
      -initrd /assets/initramfs.cpio
      -append console=ttyS0 quiet reboot=t panic=-1 coppice.key=abababababababababababababababababababababababababababababababab coppice.root=/dev/vda
      -blockdev {"driver":"raw","node-name":"root","discard":"unmap","cache":{"direct":false,"no-flush":false},"file":{"driver":"file","filename":"/state/disk.raw","aio":"threads","discard":"unmap","cache":{"direct":false,"no-flush":false}}}
      -device virtio-blk-device,drive=root,serial=root,werror=enospc,rerror=report
      -device virtio-rng-device
      -device vhost-vsock-device,guest-cid=42,vhostfd=3"
    `);
  });

  it('continues from memory instead of booting', () => {
    const given = lines(
      { ...spec, paused: true, network: { mac: '52:54:00:12:34:56', backend: { kind: 'none' } } },
      {
        ...host,
        memory: { ramFd: 3, stateFd: 4 },
      },
    );
    expect(given).toContain(
      '-object memory-backend-file,id=ram,size=512M,mem-path=/proc/self/fd/3,share=off',
    );
    expect(given).toContain('-incoming fd:4\n-S\n');
    expect(given).not.toMatch(/-kernel|-initrd|-append|memory-backend-ram|share=on|balloon/);
    expect(given).toContain(
      '-netdev hubport,id=net,hubid=0\n-device virtio-net-device,netdev=net,mac=52:54:00:12:34:56',
    );
  });

  it('leaves the disk out when there is none', () => {
    const diskless: Partial<MachineSpec> = { ...spec };
    Reflect.deleteProperty(diskless, 'disk');
    expect(lines(diskless as MachineSpec)).not.toContain('virtio-blk');
  });

  it('doubles commas in socket paths', () => {
    expect(lines({ ...spec, runDir: '/run/a,b' })).toContain('path=/run/a,,b/qmp.sock');
  });

  it('refuses kernel parameters that would become several', () => {
    const bad = { ...spec, kernelParameters: { 'coppice.x': 'a init=/bin/sh' } };
    expect(() => kernelCommandLine(microvm, bad, host)).toThrow(/cannot be passed on/);
    const quoted = { ...spec, kernelParameters: { 'coppice.x': '"' } };
    expect(() => kernelCommandLine(microvm, quoted, host)).toThrow(/cannot be passed on/);
  });

  it('refuses a command line that the kernel would cut', () => {
    const long = { ...spec, kernelParameters: { 'coppice.x': 'a'.repeat(2000) } };
    expect(() => kernelCommandLine(microvm, long, host)).toThrow(/1536 fit/);
  });
});

describe('confined', () => {
  it('changes nothing in user mode', () => {
    expect(confined('/usr/bin/qemu', ['-x'], spec)).toEqual({
      file: '/usr/bin/qemu',
      args: ['-x'],
    });
  });

  it('drops to the account of the machine in system mode', () => {
    const given = { ...spec, runAs: { uid: 64_001, gid: 64_002 } };
    expect(confined('/usr/bin/qemu', ['-x'], given).args.join(' ')).toBe(
      '--reuid=64001 --regid=64002 --clear-groups --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all -- /usr/bin/qemu -x',
    );
  });

  it('keeps the group of /dev/kvm where KVM is used', () => {
    const given = { ...spec, accelerator: 'kvm' as const, runAs: { uid: 64_001, gid: 64_002 } };
    expect(confined('/usr/bin/qemu', [], given, 106).args).toContain('--groups=106');
  });
});

describe('tscKhzFrom', () => {
  it('takes the clock of a virtual host as it is', () => {
    const text =
      'flags\t\t: fpu hypervisor sse\nmodel name\t: X @ 2.00GHz\ncpu MHz\t\t: 2596.122\n';
    expect(tscKhzFrom(text)).toBe(2_596_122);
  });

  it('takes the nominal frequency of real hardware, whose clock varies', () => {
    const text = 'model name\t: Some CPU @ 2.60GHz\ncpu MHz\t\t: 800.012\nflags\t\t: fpu sse\n';
    expect(tscKhzFrom(text)).toBe(2_600_000);
  });

  it('knows nothing from nothing', () => {
    expect(tscKhzFrom('')).toBeUndefined();
  });
});
