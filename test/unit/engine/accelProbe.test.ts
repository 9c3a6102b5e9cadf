import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chooseAccelerator } from '../../../helper-daemon/engine/qemu/accelProbe.ts';
import { probeRom } from '../../../helper-daemon/engine/qemu/accelProbeRom.ts';

const source = path.resolve(import.meta.dirname, '../../../helper-daemon/engine/qemu/accelProbe.S');

function assembler(): boolean {
  try {
    execFileSync('as', ['--version'], { stdio: 'ignore' });
    return process.arch === 'x64';
  } catch {
    return false;
  }
}

describe('the accelerator probe', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'coppice-accel-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it.runIf(assembler())('has the ROM that its source assembles to', async () => {
    const object = path.join(directory, 'probe.o');
    const rom = path.join(directory, 'probe.rom');
    execFileSync('as', ['--64', '-o', object, source]);
    execFileSync('ld', [
      '-m',
      'elf_x86_64',
      '--oformat',
      'binary',
      '-Ttext',
      '0',
      '-e',
      '0',
      '-o',
      rom,
      object,
    ]);
    expect((await readFile(rom)).equals(probeRom())).toBe(true);
  });

  /** Something that can be opened like /dev/kvm, and a stand-in for QEMU with a fixed exit code. */
  async function stage(script: string): Promise<Parameters<typeof chooseAccelerator>[0]> {
    const device = path.join(directory, 'kvm');
    const program = path.join(directory, 'monitor');
    await writeFile(device, '');
    await writeFile(program, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return { program, device, cacheFile: path.join(directory, 'cache', 'verdict.json') };
  }

  it('chooses KVM when the probe runs to its end', async () => {
    expect(await chooseAccelerator(await stage('exit 87'))).toBe('kvm');
  });

  it('chooses TCG when the probe fails', async () => {
    expect(await chooseAccelerator(await stage('exit 1'))).toBe('tcg');
  });

  it('keeps the verdict, until the program changes', async () => {
    const options = await stage(`echo run >> ${directory}/runs; exit 87`);
    await chooseAccelerator(options);
    await chooseAccelerator(options);
    expect(await readFile(path.join(directory, 'runs'), 'utf8')).toBe('run\n');
    await writeFile(options.program, '#!/bin/sh\nexit 1\n');
    expect(await chooseAccelerator(options)).toBe('tcg');
  });

  it('probes again when the kept verdict cannot be read', async () => {
    const options = await stage('exit 87');
    await chooseAccelerator(options);
    await writeFile(options.cacheFile, '{"key": 3');
    expect(await chooseAccelerator(options)).toBe('kvm');
  });

  it('does as COPPICE_ACCEL says', async () => {
    const options = await stage('exit 1');
    expect(await chooseAccelerator({ ...options, wanted: 'kvm' })).toBe('kvm');
    expect(await chooseAccelerator({ ...options, wanted: 'tcg' })).toBe('tcg');
    await expect(chooseAccelerator({ ...options, wanted: 'xen' })).rejects.toThrow(
      /kvm, tcg or auto/,
    );
  });

  it('chooses TCG where there is no device', async () => {
    const options = await stage('exit 87');
    expect(await chooseAccelerator({ ...options, device: `${directory}/none` })).toBe('tcg');
  });
});
