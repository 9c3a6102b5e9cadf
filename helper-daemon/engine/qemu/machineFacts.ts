/**
 * Everything that depends on the emulated machine, so that a second one (aarch64 `virt`) is one more value
 * here and nothing else.
 */
import type { Accelerator } from '../machine.ts';

export interface MachineFacts {
  /** Program, as found on PATH. */
  readonly program: string;
  /** `-machine` without the memory backend. */
  readonly machine: string;
  readonly cpu: Readonly<Record<Accelerator, string>>;
  /** Suffix of virtio device names: the bus they sit on. */
  readonly virtioBus: 'device' | 'pci';
  /** Bytes of guest memory below the devices; the rest begins at 4 GiB. */
  readonly lowMemoryBytes: number;
  /** `-serial` needs no device of its own: the machine has one. */
  readonly kernelParameters: (guest: {
    readonly accelerator: Accelerator;
    readonly vcpus: number;
    readonly tscKhz: number | undefined;
  }) => string[];
}

/** Longest kernel command line: COMMAND_LINE_SIZE on x86 less what QEMU appends for each device. */
export const kernelCommandLineLimit = 1536;

/**
 * acpi=off: a guest leaves by reset (reboot=t), which -action turns into a stop. microvm has neither HPET
 * nor PM timer, so under TCG a guest on a busy host cannot calibrate its TSC and hangs at boot: it is told
 * the frequency. The other parameters only skip waiting for timers that do not exist there.
 */
export const microvm: MachineFacts = {
  program: 'qemu-system-x86_64',
  machine: 'microvm,acpi=off,dump-guest-core=off,mem-merge=off',
  cpu: { kvm: 'host', tcg: 'max' },
  virtioBus: 'device',
  lowMemoryBytes: 3 * 2 ** 30,
  kernelParameters: ({ accelerator, vcpus, tscKhz }) => [
    'console=ttyS0',
    'quiet',
    'reboot=t',
    'panic=-1',
    ...(accelerator === 'tcg'
      ? [
          ...(tscKhz === undefined ? [] : [`tsc_early_khz=${String(tscKhz)}`]),
          'tsc=reliable',
          'no_timer_check',
          // Saves its calibration (0.2 s). With several CPUs it would leave them all on the PIT, ticking
          // 250 times a second for ever: an idle machine then takes 5 % of a core instead of 0.2 %.
          ...(vcpus === 1 ? ['nolapic_timer'] : []),
          'noreplace-smp',
        ]
      : []),
  ],
};

/**
 * Frequency of the host's TSC in kHz, which is what rdtsc counts in a TCG guest. In a virtual host
 * "cpu MHz" is that frequency; on bare metal it is the momentary clock of the core and the nominal
 * frequency in the model's name is closer.
 */
export function tscKhzFrom(cpuinfo: string): number | undefined {
  const virtual = /^flags\s*:.*\bhypervisor\b/m.test(cpuinfo);
  const nominal = /^model name\s*:.*@\s*([\d.]+)\s*GHz/m.exec(cpuinfo)?.[1];
  const current = /^cpu MHz\s*:\s*([\d.]+)/m.exec(cpuinfo)?.[1];
  if (!virtual && nominal !== undefined) return Math.round(Number(nominal) * 1_000_000);
  if (current !== undefined) return Math.round(Number(current) * 1000);
  return nominal === undefined ? undefined : Math.round(Number(nominal) * 1_000_000);
}
