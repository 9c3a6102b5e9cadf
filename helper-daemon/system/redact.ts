/**
 * Takes credentials out of text that leaves the machine it was written on: outputs of git, error messages, the audit
 * log. What looks like a secret goes even where it may be none; names of variables and code around it stay. Every
 * pattern is bounded, so that a hostile text cannot make it slow.
 */

const gone = '[REDACTED]';

const patterns: readonly (readonly [RegExp, string])[] = [
  [
    /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]{0,8192}?-----END [A-Z ]{0,40}PRIVATE KEY-----/g,
    gone,
  ],
  // A user alone is a secret over HTTP (https://token@host), but not over SSH (ssh://git@host).
  [/\bhttps?:\/\/[^\s/?#'"<>]{1,2048}@[^\s'"<>]*/gi, '[REDACTED-URL]'],
  [
    /\b[a-z][a-z0-9+.-]{0,15}:\/\/[^\s/?#'"<>:@]{0,512}:[^\s/?#'"<>]{1,2048}@[^\s'"<>]*/gi,
    '[REDACTED-URL]',
  ],
  // A header as a line of its own, and one quoted in code; `Bearer ${token}` is a program, not a secret.
  [/\b((?:proxy-)?authorization[ \t]*:[ \t]*)(?=[a-z0-9])[^\r\n"'`]+/gi, `$1${gone}`],
  [
    /\b((?:proxy-)?authorization["']?[ \t]{0,8}[:=][ \t]{0,8}["'`])[^\r\n"'`${}]{8,}/gi,
    `$1${gone}`,
  ],
  [/\b(bearer[ \t]{1,8})(?=[a-z]{0,64}[\d._~+/=-]|[a-z]{20})[\w.~+/=-]{8,}/gi, `$1${gone}`],
  [/gh[oprsu]_[A-Za-z0-9]{36,}/g, gone],
  [/github_pat_\w{22,}/g, gone],
  [/glpat-[\w-]{20,}/g, gone],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, gone],
  [/(aws_secret_access_key["']?[ \t]{0,8}[:=][ \t]{0,8}["']?)[A-Za-z0-9/+=]{20,}/gi, `$1${gone}`],
  [/\bsk-(?=[A-Za-z_-]{0,64}\d)[\w-]{20,}/g, gone],
];

/** `text` without the credentials in it. */
export function redact(text: string): string {
  let result = text;
  for (const [pattern, replacement] of patterns) result = result.replace(pattern, replacement);
  return result;
}
