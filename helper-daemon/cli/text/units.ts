/** Sizes, times and counts as people read them. */

const sizeUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < sizeUnits.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(value) >= 100 ? 0 : 1;
  return `${trimZero(value.toFixed(digits))} ${sizeUnits[unit] ?? 'B'}`;
}

/** Two significant parts at most: 84 ms, 3.2 s, 4 min 10 s, 2 h 5 min, 3 d 4 h. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${String(Math.round(milliseconds))} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 9.95) return `${trimZero(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${String(whole)} s`;
  const steps = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ] as const;
  const first = steps.findIndex(([, size]) => whole >= size);
  const [largeUnit, large] = steps[first] ?? ['s', 1];
  const next = steps[first + 1];
  const head = `${String(Math.floor(whole / large))} ${largeUnit}`;
  if (next === undefined) return head;
  const rest = Math.floor((whole % large) / next[1]);
  return rest === 0 ? head : `${head} ${String(rest)} ${next[0]}`;
}

export function formatAge(since: string, now: number): string {
  const age = now - Date.parse(since);
  return Number.isNaN(age)
    ? '?'
    : formatDuration(Math.max(0, age < 60_000 ? Math.round(age / 1000) * 1000 : age));
}

/** The age in its largest unit alone: for columns. */
export function formatRoundAge(since: string, now: number): string {
  const [amount = '', unit = ''] = formatAge(since, now).split(' ');
  return unit === 'ms' ? '0 s' : `${amount} ${unit}`.trimEnd();
}

/** Local time, to the second: 2026-11-20 18:05:12. */
export function formatTime(time: Date): string {
  const pad = (value: number): string => String(value).padStart(2, '0');
  const day = `${String(time.getFullYear())}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
  return `${day} ${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
}

export function count(amount: number, one: string, many = `${one}s`): string {
  return `${String(amount)} ${amount === 1 ? one : many}`;
}

function trimZero(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
