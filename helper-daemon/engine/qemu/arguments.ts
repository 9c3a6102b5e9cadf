/** The command line of one machine. Pure: everything that must be looked up is given. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { CardBackend, MachineSpec } from '../machine.ts';
import { diskNode } from './diskNodes.ts';
import { kernelCommandLineLimit, type MachineFacts } from './machineFacts.ts';
import { runFiles } from './runFiles.ts';

export interface HostFacts {
  /** kHz; absent when it is not known. */
  readonly tscKhz?: number;
  /** Descriptor of /dev/vhost-vsock that the monitor inherits; absent: it opens the device itself. */
  readonly vhostFd?: number;
  /** Descriptors that the monitor inherits to continue from a memory image; absent: it boots. */
  readonly memory?: { readonly ramFd: number; readonly stateFd: number };
  /** Descriptor of the TAP device that the monitor inherits. */
  readonly tapFd?: number;
}

/** Bytes of console output that the monitor keeps for whoever asks later; a power of two. */
export const consoleRingBytes = 64 * 1024;
export const consoleDevice = 'console';
const agentPortName = 'coppice.agent';
/** Cap of TCG's translation cache: the default grows with the host's memory, to a gigabyte. */
export const translationCacheMb = 256;

/** Names of nodes and devices that QMP commands refer to. */
const rootNode = 'root';
const ramObject = 'ram';

export function qemuArguments(facts: MachineFacts, spec: MachineSpec, host: HostFacts): string[] {
  const files = runFiles(spec.runDir);
  const virtio = (name: string): string => `${name}-${facts.virtioBus}`;
  return [
    ...['-name', `coppice-${spec.workspaceId}`],
    ...['-uuid', spec.runId],
    ...['-nodefaults', '-no-user-config'],
    ...['-display', 'none'],
    ...['-msg', 'timestamp=on'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-pidfile', files.pidFile],
    ...['-machine', `${facts.machine},memory-backend=${ramObject}`],
    ...['-accel', spec.accelerator === 'tcg' ? `tcg,tb-size=${String(translationCacheMb)}` : 'kvm'],
    ...['-cpu', facts.cpu[spec.accelerator]],
    ...['-smp', `cpus=${String(spec.vcpus)},maxcpus=${String(spec.vcpus)}`],
    ...['-m', `size=${String(spec.memoryMb)}M`],
    ...['-object', memoryBackend(spec, host)],
    // A resumed machine need not repeat settings that follow from its arguments.
    ...['-global', 'migration.send-configuration=off'],
    // A guest that resets or shuts down is paused, not gone: its console can still be read.
    ...['-action', 'reboot=shutdown,shutdown=pause'],
    ...['-chardev', `socket,id=qmp,path=${escaped(files.qmp)},server=on,wait=off`],
    ...['-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `ringbuf,id=${consoleDevice},size=${String(consoleRingBytes)}`],
    ...['-serial', `chardev:${consoleDevice}`],
    ...beginning(facts, spec, host),
    ...diskArguments(spec, virtio),
    ...['-device', virtio('virtio-rng')],
    ...channelArguments(spec, host, files.agent, virtio),
    ...networkArguments(spec, host, files.network, virtio),
  ];
}

/**
 * Memory from an image is mapped privately: what the guest writes is its own. The image is sealed, so even
 * a monitor that was taken over cannot change it for others.
 */
function memoryBackend(spec: MachineSpec, { memory }: HostFacts): string {
  const common = `id=${ramObject},size=${String(spec.memoryMb)}M`;
  return memory === undefined
    ? `memory-backend-ram,${common}`
    : `memory-backend-file,${common},mem-path=/proc/self/fd/${String(memory.ramFd)},share=off`;
}

/** A resumed machine has its kernel in its memory. */
function beginning(facts: MachineFacts, spec: MachineSpec, host: HostFacts): string[] {
  if (host.memory !== undefined) {
    const resume = ['-incoming', `fd:${String(host.memory.stateFd)}`];
    // One with a socket is let go on when that is ready: see cardSocket.ts.
    const waits = spec.paused === true || spec.network?.backend.kind === 'socket';
    return waits ? [...resume, '-S'] : resume;
  }
  return [
    ...['-kernel', spec.kernel],
    ...['-initrd', spec.initramfs],
    ...['-append', kernelCommandLine(facts, spec, host)],
  ];
}

function networkArguments(
  spec: MachineSpec,
  host: HostFacts,
  socket: string,
  virtio: (name: string) => string,
): string[] {
  if (spec.network === undefined) return [];
  return [
    ...['-netdev', cardBackend(spec.network.backend, host, socket)],
    ...['-device', `${virtio('virtio-net')},netdev=net,mac=${spec.network.mac}`],
  ];
}

function cardBackend(backend: CardBackend, host: HostFacts, socket: string): string {
  switch (backend.kind) {
    case 'none':
      return 'hubport,id=net,hubid=0';
    case 'tap':
      return `tap,id=net,fd=${String(host.tapFd ?? backend.fd)}`;
    case 'socket':
      return `stream,id=net,server=on,addr.type=unix,addr.path=${escaped(socket)}`;
  }
}

function diskArguments(spec: MachineSpec, virtio: (name: string) => string): string[] {
  if (spec.disk === undefined) return [];
  return [
    ...['-blockdev', JSON.stringify(diskNode(spec.disk, rootNode))],
    // A full host disk stops the machine instead of failing the guest's write: see blocked().
    ...[
      '-device',
      `${virtio('virtio-blk')},drive=${rootNode},serial=root,werror=enospc,rerror=report`,
    ],
  ];
}

function channelArguments(
  spec: MachineSpec,
  host: HostFacts,
  socket: string,
  virtio: (name: string) => string,
): string[] {
  if (spec.transport.kind === 'vsock') {
    const fd = host.vhostFd === undefined ? '' : `,vhostfd=${String(host.vhostFd)}`;
    return ['-device', `${virtio('vhost-vsock')},guest-cid=${String(spec.transport.cid)}${fd}`];
  }
  return [
    ...['-chardev', `socket,id=agent,path=${escaped(socket)},server=on,wait=off`],
    ...['-device', `${virtio('virtio-serial')},max_ports=2`],
    ...['-device', `virtserialport,chardev=agent,id=agent,name=${agentPortName}`],
  ];
}

/** @throws CoppiceError `invalid_input` when a parameter cannot be said on a kernel command line */
export function kernelCommandLine(facts: MachineFacts, spec: MachineSpec, host: HostFacts): string {
  const own = Object.entries(spec.kernelParameters).map(([key, value]) => {
    if (!/^[a-z][a-z0-9_.-]*$/.test(key) || /[^!#-~]/.test(value)) {
      throw new CoppiceError({
        code: 'invalid_input',
        message: `The kernel parameter ${JSON.stringify(key)} has a name or value that cannot be passed on.`,
      });
    }
    return value === '' ? key : `${key}=${value}`;
  });
  const line = [...facts.kernelParameters({ ...spec, tscKhz: host.tscKhz }), ...own].join(' ');
  if (line.length > kernelCommandLineLimit) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: `The kernel command line would have ${String(line.length)} characters; ${String(kernelCommandLineLimit)} fit.`,
    });
  }
  return line;
}

/** QEMU's option lists separate by comma and double the commas that belong to a value. */
function escaped(value: string): string {
  return value.replaceAll(',', ',,');
}
