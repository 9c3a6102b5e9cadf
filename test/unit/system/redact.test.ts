import { describe, expect, it } from 'vitest';
import { redact } from '../../../helper-daemon/system/redact.ts';

const letters = 'aB3dEfGh1JkLmNoPqRsTuVwXyZ0123456789abcd';

describe('redact', () => {
  it.each([
    ['a classic GitHub token', `ghp_${letters}`],
    ['an OAuth token', `gho_${letters}`],
    ['a server token', `ghs_${letters}`],
    ['a fine-grained GitHub token', `github_pat_${letters}`],
    ['a GitLab token', `glpat-${letters}`],
    ['an AWS key id', 'AKIAIOSFODNN7EXAMPLE'],
    ['an sk- key', `sk-proj-${letters}`],
  ])('takes out %s and leaves the words around it', (_, secret) => {
    expect(redact(`before ${secret}, after`)).toBe('before [REDACTED], after');
  });

  it.each([
    'https://user:pass@example.com/x.git',
    'https://token@example.com/x.git',
    'http://user:p@ss@example.com/x',
    'ssh://user:pass@example.com/x',
    'HTTPS://token@EXAMPLE.com',
  ])('takes out %s, which names credentials', (url) => {
    expect(redact(`fatal: unable to access '${url}': no route`)).toBe(
      "fatal: unable to access '[REDACTED-URL]': no route",
    );
  });

  it.each([
    'https://example.com/x.git',
    'ssh://git@example.com/x.git',
    'git@example.com:x/y.git',
    'https://example.com/@scope/package',
    'mail somebody@example.com about http://example.com',
    'a risk-assessment-of-2024-and-what-follows',
    'const headers = { Authorization: `Bearer ${token}` };',
    'the bearer of this letter',
    'commit 5f3c9d1e0b7a6c5d4e3f2a1b0c9d8e7f6a5b4c3d',
    'ghp_short',
  ])('leaves %s as it is', (text) => {
    expect(redact(text)).toBe(text);
  });

  it('takes out what follows an Authorization header, up to the end of its line', () => {
    expect(redact('> Authorization: Basic dXNlcjpwYXNz and more\n> Host: x')).toBe(
      '> Authorization: [REDACTED]\n> Host: x',
    );
    expect(redact('"authorization": "token abcdef123456", "x": 1')).toBe(
      '"authorization": "[REDACTED]", "x": 1',
    );
    expect(redact(`curl -H 'Authorization: token abc1' https://example.com`)).toBe(
      `curl -H 'Authorization: [REDACTED]' https://example.com`,
    );
    expect(redact('sent Bearer abc.def-12345678 there')).toBe('sent Bearer [REDACTED] there');
  });

  it('takes out an AWS secret by its name and a whole private key', () => {
    expect(redact(`aws_secret_access_key = ${letters}`)).toBe('aws_secret_access_key = [REDACTED]');
    const key = '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza\n-----END OPENSSH PRIVATE KEY-----';
    expect(redact(`+${key}\n+x`)).toBe('+[REDACTED]\n+x');
  });

  it('takes out every secret of a text, not only the first', () => {
    const text = redact(`https://a@b.c ghp_${letters} https://d:e@f.g glpat-${letters}`);
    expect(text).toBe('[REDACTED-URL] [REDACTED] [REDACTED-URL] [REDACTED]');
  });

  it('grows in time as the text does, whatever is in it', () => {
    const took = (text: string): number => {
      const start = process.cpuUsage();
      redact(text);
      const { user, system } = process.cpuUsage(start);
      return user + system;
    };
    for (const piece of ['sk-', 'a.', 'bearer ', 'http://', '-----BEGIN PRIVATE KEY-----']) {
      const small = took(piece.repeat(5_000)) + 2_000;
      expect(took(piece.repeat(50_000))).toBeLessThan(small * 40);
    }
  });
});
