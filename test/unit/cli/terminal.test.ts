import { describe, expect, it } from 'vitest';
import { detachFilter } from '../../../helper-daemon/cli/terminal/detachKeys.ts';
import { modeTracker } from '../../../helper-daemon/cli/terminal/modes.ts';
import { headAndTail } from '../../../helper-daemon/cli/process/output.ts';
import { exitCodeOf } from '../../../helper-daemon/cli/exitCodes.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const passed = (data: Uint8Array): string => Buffer.from(data).toString('latin1');

describe('Ctrl-P Ctrl-Q', () => {
  it('detaches, and what was typed before is sent', () => {
    const { pass, detach } = detachFilter().feed(bytes('ls\x10\x11more'));
    expect(detach).toBe(true);
    expect(passed(pass)).toBe('ls');
  });

  it('is found across two reads', () => {
    const filter = detachFilter();
    expect(passed(filter.feed(bytes('a\x10')).pass)).toBe('a');
    expect(filter.holding).toBe(true);
    expect(filter.feed(bytes('\x11')).detach).toBe(true);
  });

  it.each([
    ['another key follows', ['\x10x'], '\x10x'],
    ['twice Ctrl-P and then another', ['\x10\x10x'], '\x10\x10x'],
    ['Ctrl-Q alone', ['\x11'], '\x11'],
    ['in two reads', ['\x10', 'y'], '\x10y'],
  ])('passes everything else on: %s', (_, reads, expected) => {
    const filter = detachFilter();
    expect(reads.map((read) => passed(filter.feed(bytes(read)).pass)).join('')).toBe(expected);
  });

  it('sends a lonely Ctrl-P after a while', () => {
    const filter = detachFilter();
    filter.feed(bytes('\x10'));
    expect(passed(filter.flush())).toBe('\x10');
    expect(passed(filter.flush())).toBe('');
  });
});

describe('modes left on in the terminal', () => {
  it('are switched off, also when their sequence came in pieces', () => {
    const modes = modeTracker();
    modes.see(bytes('\x1b[?1049h\x1b[?25l text \x1b[?10'));
    modes.see(bytes('00;1006h'));
    expect(modes.undo()).toBe('\x1b[?1049l\x1b[?1000l\x1b[?1006l\x1b[?25h\x1b[0m');
  });

  it('are left alone when the program has tidied up', () => {
    const modes = modeTracker();
    modes.see(bytes('\x1b[?1049h\x1b[?25l'));
    modes.see(bytes('\x1b[?25h\x1b[?1049l'));
    expect(modes.undo()).toBe('');
  });
});

describe('captured output', () => {
  it('is whole when it fits', () => {
    const capture = headAndTail(10);
    capture.push(bytes('12345'));
    capture.push(bytes('67890'));
    expect(capture.text()).toBe('1234567890');
  });

  it('keeps head and tail and says how much is missing', () => {
    const capture = headAndTail(10);
    for (let round = 0; round < 50_000; round += 1) capture.push(bytes(`${String(round % 10)}abc`));
    const text = capture.text();
    expect(text.startsWith('0abc1')).toBe(true);
    expect(text.endsWith('c9abc')).toBe(true);
    expect(text).toContain('[… 199990 bytes left out …]');
  });
});

describe('the exit code', () => {
  it.each([
    [{ exit_code: 7, signal: null, timed_out: false }, 7],
    [{ exit_code: -1, signal: 9, timed_out: false }, 137],
    [{ exit_code: -1, signal: 9, timed_out: true }, 124],
    [{ exit_code: -1, signal: null, timed_out: false }, 125],
  ])('of %j is %d', (exit, code) => {
    expect(exitCodeOf(exit)).toBe(code);
  });
});
