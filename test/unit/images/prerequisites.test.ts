import { describe, expect, it } from 'vitest';
import { packagesFor, parsePolicy, unmetNeeds } from '../../../scripts/prerequisites.mjs';

const bare = { hasCommand: () => false, hasFile: () => false, hasCargo: () => false };
const full = { hasCommand: () => true, hasFile: () => true, hasCargo: () => true };
const apt =
  (versions: Readonly<Record<string, string>>) =>
  (names: readonly string[]): Map<string, string> =>
    new Map(
      names.flatMap((name) => (versions[name] === undefined ? [] : [[name, versions[name]]])),
    );

describe('prerequisites', () => {
  it('asks for nothing where everything is there', () => {
    expect(unmetNeeds('test', full)).toEqual([]);
  });

  it('asks only for what the task needs', () => {
    expect(unmetNeeds('generate', bare).map((need) => need.group)).not.toContain('kernel');
  });

  it('takes the plain Rust packages where they are new enough', () => {
    const need = unmetNeeds('generate', { ...full, hasCargo: () => false });
    const plan = packagesFor(need, 'debian', apt({ rustc: '1.85.0+dfsg3', cargo: '1.85.0+dfsg3' }));
    expect(plan.packages).toEqual(['cargo', 'rustc']);
  });

  it('passes over packages that are too old for newer ones under another name', () => {
    const need = unmetNeeds('generate', { ...full, hasCargo: () => false });
    const offered = {
      rustc: '1.63.0',
      cargo: '0.66.0',
      'rustc-web': '1.90.0',
      'cargo-web': '1.90.0',
    };
    expect(packagesFor(need, 'debian', apt(offered)).packages).toEqual(['cargo-web', 'rustc-web']);
  });

  it('finds versioned Rust packages', () => {
    const need = unmetNeeds('generate', { ...full, hasCargo: () => false });
    const offered = {
      rustc: '1.75.0',
      cargo: '1.75.0',
      'rustc-1.89': '1.89.0',
      'cargo-1.89': '1.89.0',
    };
    expect(packagesFor(need, 'ubuntu', apt(offered)).packages).toEqual([
      'cargo-1.89',
      'rustc-1.89',
    ]);
  });

  it('names what no package brings', () => {
    const need = unmetNeeds('generate', { ...full, hasCargo: () => false });
    expect(packagesFor(need, 'debian', apt({})).impossible.map((one) => one.what)).toEqual([
      'cargo 1.85 or newer',
    ]);
  });

  it('does without optional tools that are not offered', () => {
    const need = unmetNeeds('check', {
      ...full,
      hasCommand: (name: string) => name !== 'cargo-clippy',
    });
    expect(packagesFor(need, 'debian', apt({}))).toEqual({ packages: [], impossible: [] });
  });

  it('takes lint tools of the same family as the compiler, never a mixture', () => {
    const need = unmetNeeds('check', {
      ...full,
      hasCargo: () => false,
      hasCommand: (name: string) => name === 'cc',
    });
    const offered = {
      'rustc-web': '1.90.0',
      'cargo-web': '1.90.0',
      'rustfmt-web': '1.90.0',
      'rust-clippy': '1.63.0',
    };
    expect(packagesFor(need, 'debian', apt(offered)).packages).toEqual([
      'cargo-web',
      'rustc-web',
      'rustfmt-web',
    ]);
  });

  it('leaves a compiler that is there already alone', () => {
    const need = unmetNeeds('check', { ...full, hasCommand: (name: string) => name === 'cc' });
    expect(packagesFor(need, 'debian', apt({ rustfmt: '1.63.0' })).packages).toEqual([]);
  });

  it('reads the versions that apt offers', () => {
    const text =
      'git:\n  Installed: (none)\n  Candidate: 1:2.39.5-0\nnothing:\n  Candidate: (none)\n';
    expect([...parsePolicy(text)]).toEqual([['git', '2.39.5-0']]);
  });
});
