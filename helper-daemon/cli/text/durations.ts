/** Times as people write them: 90s, 10m, 1h30m, 2d. */

const unitSeconds: Readonly<Record<string, number>> = {
  ms: 0.001,
  s: 1,
  m: 60,
  min: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
};

const part = /(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d|w)/g;

/** @returns seconds; a number alone means seconds, undefined is for what is no time */
export function parseSeconds(text: string): number | undefined {
  const time = text.trim().toLowerCase();
  if (/^\d+(\.\d+)?$/.test(time)) return Number(time);
  if (time === '' || time.replace(part, '').trim() !== '') return undefined;
  const seconds = [...time.matchAll(part)].reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * (unitSeconds[unit ?? ''] ?? 0),
    0,
  );
  return Math.round(seconds * 1000) / 1000;
}
