import { describe, expect, it } from 'vitest';
import { agentOfClient, chosenAgent } from '../../../helper-daemon/mcp/identity.ts';
import { agentName } from '../../../protocol/names.ts';

describe('the name of an agent', () => {
  it('is the flag, else the variable, else nobody chose one', () => {
    expect(chosenAgent('a', { COPPICE_SESSION: 'b' })).toBe('a');
    expect(chosenAgent(undefined, { COPPICE_SESSION: 'b' })).toBe('b');
    expect(chosenAgent(undefined, { COPPICE_SESSION: '' })).toBeUndefined();
    expect(chosenAgent(undefined, {})).toBeUndefined();
  });

  it('is refused when it is none, saying where it came from', () => {
    expect(() => chosenAgent('', {})).toThrow(/--session/);
    expect(() => chosenAgent('a b', {})).toThrow(/--session/);
    expect(() => chosenAgent(undefined, { COPPICE_SESSION: 'a/b' })).toThrow(/COPPICE_SESSION/);
    expect(() => chosenAgent('x'.repeat(65), {})).toThrow();
  });

  it('is made from anything a client calls itself', () => {
    expect(agentOfClient('claude-code')).toBe('claude-code');
    expect(agentOfClient('Visual Studio Code')).toBe('Visual-Studio-Code');
    for (const name of [undefined, '', '///', '日本', `${'x'.repeat(63)}  y`, '-a-', 'a\nb']) {
      expect(agentName.safeParse(agentOfClient(name)).success, name).toBe(true);
    }
  });
});
